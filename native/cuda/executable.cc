#include "cuda/executable.h"

#include <algorithm>

#include "core/fold.h"
#include "core/random.h"

namespace vgg::cuda {
namespace {

/** Runs that may be under way at once: enough to upload the next ones while one computes, and no
 * more memory than that needs. */
size_t slotCount(size_t bytes) {
  return std::clamp<size_t>((size_t{64} << 20) / std::max<size_t>(bytes, 1), 2, 4);
}

}  // namespace

size_t CudaExecutable::byteCount(int value, size_t images) const {
  const Value& v = program_.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), images);
}

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
  // Without it the layer runs as any other.
  if (!areFirstLayersRight()) {
    choices_ =
        cuda::choose(program_, parameters_->specs(), parameters_->precision(), batch_, false);
  }
  lease_.emplace(shared_.arena, choices_.activationBytes);
  makeSlots();
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (!choices_.isExternal[value]) steps_.push_back({{StepRole::kInput, value}, prepareInput(i)});
  }
  for (const Op& op : program_.ops) {
    if (choices_.isMergedAway(op)) continue;
    context_.throwIfInterrupted();
    steps_.push_back({{StepRole::kOperation, choices_.madeBy(op)},
                      std::visit([this](const auto& o) { return prepare(o); }, op)});
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    if (Step step = prepareOutput(i))
      steps_.push_back({{StepRole::kOutput, program_.outputs[i]}, std::move(step)});
  }
  lease_.reset();
  lease_.emplace(shared_.arena, choices_.activationBytes + workspaceBytes_);
  // Libraries load what they need at the first execution, which a capture would not survive.
  runSteps(runOf(*slots_.front(), workspace()));
  context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  for (const auto& slot : slots_) captureSteps(*slot);
}

void CudaExecutable::captureSteps(Slot& slot) {
  slot.graph = capture([this, run = runOf(slot, workspace())] { runSteps(run); });
  slot.generation = shared_.arena.generation();
}

CudaExecutable::~CudaExecutable() {
  // A run that failed on its way may have left work behind that uses what is freed now.
  if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
}

void CudaExecutable::makeSlots() {
  const auto batch = static_cast<size_t>(batch_);
  size_t bytes = 0;
  for (const int value : program_.inputs) bytes += byteCount(value, batch);
  for (const int value : program_.outputs) bytes += byteCount(value, batch);
  for (size_t i = 0; i < slotCount(bytes); ++i) {
    auto slot = std::make_unique<Slot>();
    for (const int value : program_.inputs) {
      const size_t size = byteCount(value, batch);
      slot->inputs.push_back(
          std::make_unique<DeviceMemory>(context_, size, shared_.activationBytes));
      // Images beyond a smaller batch are computed too.
      context_.check(context_.api().cuMemsetD8Async(slot->inputs.back()->address(), 0,
                                                    std::max<size_t>(size, 1), context_.compute()),
                     "cuMemsetD8Async");
    }
    for (const int value : program_.outputs) {
      slot->outputs.push_back(std::make_unique<DeviceMemory>(context_, byteCount(value, batch),
                                                             shared_.activationBytes));
    }
    slot->uploaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->computed = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->downloaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC);
    slots_.push_back(std::move(slot));
  }
}

void CudaExecutable::fillInputs(const Slot& slot) {
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const Value& value = program_.values[program_.inputs[i]];
    std::vector<float> draws(elementCount(value.shape) * static_cast<size_t>(batch_));
    fillNormal(draws.data(), 0, draws.size(), 0, static_cast<uint32_t>(i), 1);
    std::vector<uint8_t> bytes(draws.size());
    std::ranges::transform(draws, bytes.begin(), [](float draw) {
      return static_cast<uint8_t>(std::clamp(128 + 64 * draw, 0.0F, 255.0F));
    });
    const void* from =
        value.dtype == DType::kUint8 ? static_cast<const void*>(bytes.data()) : draws.data();
    context_.check(context_.api().cuMemcpyHtoDAsync_v2(slot.inputs[i]->address(), from,
                                                       draws.size() * byteSize(value.dtype),
                                                       context_.compute()),
                   "cuMemcpyHtoDAsync");
    context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  }
}

Run CudaExecutable::runOf(const Slot& slot, CUdeviceptr workspace) {
  Run run{shared_.arena.address(), workspace, {}, {}};
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

CUdeviceptr CudaExecutable::workspace() {
  return shared_.arena.address() + choices_.activationBytes;
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
  context_.throwIfInterrupted();
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

std::optional<double> CudaExecutable::timeOf(const Step& step, size_t workspaceBytes) {
  try {
    const DeviceMemory scratch(context_, workspaceBytes, nullptr);
    return measure([&, run = trial(&scratch)] { step(run); });
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    return std::nullopt;
  }
}

}  // namespace vgg::cuda
