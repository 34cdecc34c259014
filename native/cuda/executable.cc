#include "cuda/executable.h"

#include <algorithm>

#include "core/fold.h"
#include "core/host_memory.h"

namespace vgg::cuda {
namespace {

/** Runs that may be under way at once: enough to upload the next ones while one computes, and no
 * more memory than that needs. */
size_t slotCount(size_t bytes) {
  return std::clamp<size_t>((size_t{64} << 20) / std::max<size_t>(bytes, 1), 2, 4);
}

size_t byteCount(const Value& value, int64_t batch) {
  return checkedMultiply(checkedMultiply(elementCount(value.shape), byteSize(value.dtype)),
                         static_cast<size_t>(batch));
}

}  // namespace

CudaExecutable::CudaExecutable(const Program& program, std::shared_ptr<CudaParameters> parameters,
                               size_t batch, const Shared& shared)
    : shared_(shared),
      context_(shared.context),
      program_(foldBatchNorm(program)),
      parameters_(std::move(parameters)),
      batch_(static_cast<int64_t>(batch)),
      choices_(cuda::choose(program_, parameters_->specs(), parameters_->precision(), batch_)) {
  try {
    prepareAll();
  } catch (...) {
    // What was started uses memory that is about to be freed.
    if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
    throw;
  }
}

void CudaExecutable::prepareAll() {
  context_.enter();
  lease_.emplace(shared_.arena, choices_.activationBytes);
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (!choices_.isExternal[value]) steps_.push_back({{StepRole::kInput, value}, prepareInput(i)});
  }
  for (const Op& op : program_.ops) {
    if (choices_.isMergedAway(op)) continue;
    steps_.push_back({{StepRole::kOperation, choices_.madeBy(op)},
                      std::visit([this](const auto& o) { return prepare(o); }, op)});
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i)
    steps_.push_back({{StepRole::kOutput, program_.outputs[i]}, prepareOutput(i)});
  lease_.reset();
  lease_.emplace(shared_.arena, choices_.activationBytes + workspaceBytes_);
  makeSlots();
  // Libraries load what they need at the first execution, which a capture would not survive.
  runSteps(runOf(*slots_.front()));
  context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  for (const auto& slot : slots_) captureSteps(*slot);
}

void CudaExecutable::captureSteps(Slot& slot) {
  slot.graph = capture([this, run = runOf(slot)] { runSteps(run); });
  slot.generation = shared_.arena.generation();
}

CudaExecutable::~CudaExecutable() {
  // A run that failed on its way may have left work behind that uses what is freed now.
  if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
}

void CudaExecutable::makeSlots() {
  size_t bytes = 0;
  for (const int value : program_.inputs) bytes += byteCount(program_.values[value], batch_);
  for (const int value : program_.outputs) bytes += byteCount(program_.values[value], batch_);
  for (size_t i = 0; i < slotCount(bytes); ++i) {
    auto slot = std::make_unique<Slot>();
    for (const int value : program_.inputs) {
      const size_t size = byteCount(program_.values[value], batch_);
      slot->inputs.push_back(
          std::make_unique<DeviceMemory>(context_, size, shared_.activationBytes));
      // Images beyond a smaller batch are computed too.
      context_.check(context_.api().cuMemsetD8Async(slot->inputs.back()->address(), 0,
                                                    std::max<size_t>(size, 1), context_.compute()),
                     "cuMemsetD8Async");
    }
    for (const int value : program_.outputs) {
      slot->outputs.push_back(std::make_unique<DeviceMemory>(
          context_, byteCount(program_.values[value], batch_), shared_.activationBytes));
    }
    slot->uploaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->computed = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->downloaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC);
    slots_.push_back(std::move(slot));
  }
}

Run CudaExecutable::runOf(const Slot& slot) {
  Run run{shared_.arena.address(), {}, {}};
  for (const auto& memory : slot.inputs) run.inputs.push_back(memory->address());
  for (const auto& memory : slot.outputs) run.outputs.push_back(memory->address());
  return run;
}

void CudaExecutable::runSteps(const Run& run) {
  for (const LabelledStep& step : steps_) step.function(run);
}

/** What work() enqueues on the compute stream, as a graph that is ready to be launched there. */
GraphExec CudaExecutable::capture(const std::function<void()>& work) {
  const Api& api = context_.api();
  // Thread-local: other threads may allocate meanwhile.
  context_.check(
      api.cuStreamBeginCapture_v2(context_.compute(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
      "cuStreamBeginCapture");
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  CUgraph captured = nullptr;
  const CUresult ended = api.cuStreamEndCapture(context_.compute(), &captured);
  const Handle<CUgraph, &Api::cuGraphDestroy> graph(context_, captured);
  if (ended != CUDA_SUCCESS && !context_.isLost()) {
    // The stream must not go on recording.
    CUgraph rest = nullptr;
    api.cuStreamEndCapture(context_.compute(), &rest);
    const Handle<CUgraph, &Api::cuGraphDestroy> dropped(context_, rest);
  }
  if (failure) std::rethrow_exception(failure);
  context_.check(ended, "cuStreamEndCapture");
  CUgraphExec executable = nullptr;
  context_.check(api.cuGraphInstantiateWithFlags(&executable, graph.get(), 0),
                 "cuGraphInstantiate");
  GraphExec ready(context_, executable);
  context_.check(api.cuGraphUpload(executable, context_.compute()), "cuGraphUpload");
  return ready;
}

CudaExecutable::Slot& CudaExecutable::acquire() {
  std::unique_lock lock(slotMutex_);
  Slot* found = nullptr;
  slotFree_.wait(lock, [&] {
    for (const auto& slot : slots_) {
      if (!slot->isBusy) found = slot.get();
    }
    return found != nullptr;
  });
  found->isBusy = true;
  return *found;
}

void CudaExecutable::release(Slot& slot) {
  {
    const std::lock_guard lock(slotMutex_);
    slot.isBusy = false;
  }
  slotFree_.notify_one();
}

void CudaExecutable::run(size_t batch, const std::vector<Binding>& inputs,
                         const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                         Completion done) noexcept {
  Slot* slot = nullptr;
  try {
    context_.enter();
    parameters_->refresh(used_);
    slot = &acquire();
    context_.throwIfLost();  // it may have been, while this waited
    start(*slot, batch, inputs, outputs);
    shared_.completions.await(
        slot->downloaded.get(), [this, slot, &cancelled, done](std::exception_ptr failure) {
          release(*slot);
          if (!failure && cancelled.load())
            failure = std::make_exception_ptr(Error(Code::kAborted, "The run was aborted"));
          done(failure);
        });
  } catch (...) {
    const std::exception_ptr failure = std::current_exception();
    if (slot != nullptr) abandon(*slot);
    done(failure);
  }
}

/** Gives a slot back after a failure: copies that were started must not outlive the caller's
 * memory.
 */
void CudaExecutable::abandon(Slot& slot) {
  for (const CUstream stream : {context_.copyIn(), context_.compute(), context_.copyOut()}) {
    if (!context_.isLost()) context_.api().cuStreamSynchronize(stream);
  }
  release(slot);
}

std::vector<StepTime> CudaExecutable::profile(size_t batch, const std::vector<Binding>& inputs,
                                              const std::vector<Binding>& outputs,
                                              const std::atomic<bool>& cancelled) {
  context_.enter();
  parameters_->refresh(used_);
  Slot& slot = acquire();
  try {
    context_.throwIfLost();
    if (cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
    start(slot, batch, inputs, outputs);
    std::vector<StepTime> times = timeSteps(slot);
    release(slot);
    return times;
  } catch (...) {
    abandon(slot);
    throw;
  }
}

/** The steps once more, one by one with events between them. They are enqueued while the run that
 * was started before them goes on, so that the GPU's time is measured and not the host's. */
std::vector<StepTime> CudaExecutable::timeSteps(const Slot& slot) {
  const Api& api = context_.api();
  std::vector<Event> events;
  for (size_t i = 0; i <= steps_.size(); ++i)
    events.push_back(context_.makeEvent(CU_EVENT_DEFAULT));
  const auto record = [&](size_t i) {
    context_.check(api.cuEventRecord(events[i].get(), context_.compute()), "cuEventRecord");
  };
  // The steps write the outputs again.
  context_.check(api.cuStreamWaitEvent(context_.compute(), slot.downloaded.get(), 0),
                 "cuStreamWaitEvent");
  const Run run = runOf(slot);
  record(0);
  for (size_t i = 0; i < steps_.size(); ++i) {
    steps_[i].function(run);
    record(i + 1);
  }
  context_.check(api.cuEventSynchronize(events.back().get()), "cuEventSynchronize");
  std::vector<StepTime> times;
  for (size_t i = 0; i < steps_.size(); ++i) {
    float milliseconds = 0;
    context_.check(api.cuEventElapsedTime(&milliseconds, events[i].get(), events[i + 1].get()),
                   "cuEventElapsedTime");
    times.push_back({steps_[i].label, milliseconds});
  }
  return times;
}

/** Upload, graph, download: each on its own stream, so that the uploads of one run overlap the
 * graph of the one before. */
void CudaExecutable::start(Slot& slot, size_t batch, const std::vector<Binding>& inputs,
                           const std::vector<Binding>& outputs) {
  const Api& api = context_.api();
  if (slot.generation != shared_.arena.generation()) captureSteps(slot);
  const auto bytes = [&](int value) {
    return byteCount(program_.values[value], static_cast<int64_t>(batch));
  };
  const auto addressOf = [](const Memory* memory) {
    return static_cast<const DeviceMemory*>(memory)->address();
  };

  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].device != nullptr || bytes(program_.inputs[i]) == 0) continue;
    context_.check(api.cuMemcpyHtoDAsync_v2(slot.inputs[i]->address(), inputs[i].host,
                                            bytes(program_.inputs[i]), context_.copyIn()),
                   "cuMemcpyHtoDAsync");
  }
  context_.check(api.cuEventRecord(slot.uploaded.get(), context_.copyIn()), "cuEventRecord");
  context_.check(api.cuStreamWaitEvent(context_.compute(), slot.uploaded.get(), 0),
                 "cuStreamWaitEvent");
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].device == nullptr) continue;
    context_.check(api.cuMemcpyDtoDAsync_v2(slot.inputs[i]->address(), addressOf(inputs[i].device),
                                            bytes(program_.inputs[i]), context_.compute()),
                   "cuMemcpyDtoDAsync");
  }
  context_.check(api.cuGraphLaunch(slot.graph.get(), context_.compute()), "cuGraphLaunch");
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].device == nullptr) continue;
    context_.check(
        api.cuMemcpyDtoDAsync_v2(addressOf(outputs[i].device), slot.outputs[i]->address(),
                                 bytes(program_.outputs[i]), context_.compute()),
        "cuMemcpyDtoDAsync");
  }
  context_.check(api.cuEventRecord(slot.computed.get(), context_.compute()), "cuEventRecord");
  context_.check(api.cuStreamWaitEvent(context_.copyOut(), slot.computed.get(), 0),
                 "cuStreamWaitEvent");
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].device != nullptr || bytes(program_.outputs[i]) == 0) continue;
    context_.check(api.cuMemcpyDtoHAsync_v2(outputs[i].host, slot.outputs[i]->address(),
                                            bytes(program_.outputs[i]), context_.copyOut()),
                   "cuMemcpyDtoHAsync");
  }
  context_.check(api.cuEventRecord(slot.downloaded.get(), context_.copyOut()), "cuEventRecord");
}

size_t CudaExecutable::inputIndex(int value) const {
  const auto at = std::find(program_.inputs.begin(), program_.inputs.end(), value);
  if (at == program_.inputs.end())
    throw Error(Code::kInternal, "Expected an image to be an input of the graph");
  return static_cast<size_t>(at - program_.inputs.begin());
}

int CudaExecutable::use(int parameter) {
  if (parameter != kNone) used_.push_back(parameter);
  return parameter;
}

void CudaExecutable::needWorkspace(size_t bytes) {
  workspaceBytes_ = std::max(workspaceBytes_, bytes);
}

CUfunction CudaExecutable::kernel(const std::string& file, const std::string& name, Type type) {
  return shared_.kernels.function(file, name + "_" + suffixOf(type));
}

CUdeviceptr CudaExecutable::constants(std::vector<float> values) {
  const size_t bytes = values.size() * sizeof(float);
  auto memory = std::make_unique<DeviceMemory>(context_, bytes, shared_.activationBytes);
  context_.check(context_.api().cuMemcpyHtoDAsync_v2(memory->address(), values.data(), bytes,
                                                     context_.compute()),
                 "cuMemcpyHtoDAsync");
  context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  return constants_.emplace_back(std::move(memory))->address();
}

double CudaExecutable::measure(const std::function<void()>& work) {
  constexpr int kTimed = 10;
  const Api& api = context_.api();
  const Event start = context_.makeEvent(CU_EVENT_DEFAULT);
  const Event end = context_.makeEvent(CU_EVENT_DEFAULT);
  // Libraries load what they need, and engines may fail, only when they run for the first time.
  work();
  context_.check(api.cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  // As it will run, in a graph: one launch after the other would measure the host.
  const GraphExec graph = capture([&] {
    for (int i = 0; i < kTimed; ++i) work();
  });
  context_.check(api.cuGraphLaunch(graph.get(), context_.compute()), "cuGraphLaunch");
  context_.check(api.cuEventRecord(start.get(), context_.compute()), "cuEventRecord");
  context_.check(api.cuGraphLaunch(graph.get(), context_.compute()), "cuGraphLaunch");
  context_.check(api.cuEventRecord(end.get(), context_.compute()), "cuEventRecord");
  context_.check(api.cuEventSynchronize(end.get()), "cuEventSynchronize");
  float milliseconds = 0;
  context_.check(api.cuEventElapsedTime(&milliseconds, start.get(), end.get()),
                 "cuEventElapsedTime");
  return milliseconds / kTimed;
}

}  // namespace vgg::cuda
