#include "cuda/executable.h"

#include <algorithm>

namespace vgg::cuda {
namespace {

/** Returns the number of runs that may be under way at once if each has `bytes` of inputs and
 * outputs. Two are enough to upload the next run while one computes. Small runs get up to four. */
size_t slotCount(size_t bytes) {
  return std::clamp<size_t>((size_t{64} << 20) / std::max<size_t>(bytes, 1), 2, 4);
}

}  // namespace

CudaExecutable::CudaExecutable(const Program& program, std::shared_ptr<CudaParameters> parameters,
                               size_t batch, const Shared& shared)
    : shared_(shared),
      context_(shared.context),
      folded_(foldBatchNorm(program)),
      program_(folded_.program),
      parameters_(std::move(parameters)),
      batch_(static_cast<int64_t>(batch)),
      usedParameters_(parametersOf(folded_)) {
  // Kernels under way may use its memory, so it must outlive the synchronisation below.
  Lowering lowering(shared_, folded_, *parameters_, batch_);
  try {
    prepare(lowering);
  } catch (...) {
    // Kernels under way use memory that is about to be freed.
    if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
    throw;
  }
}

void CudaExecutable::prepare(Lowering& lowering) {
  context_.enter();
  lowering.checkFirstLayers();
  activationBytes_ = lowering.activationBytes();
  lease_.emplace(shared_.arena, activationBytes_);
  makeSlots();
  Run trial = runOf(*slots_.front(), 0);
  stopwatch_ = std::make_unique<Stopwatch>(shared_, program_, batch_, std::move(trial.inputs),
                                           std::move(trial.outputs));
  lowered_ = lowering.lower(*stopwatch_);
  lease_.reset();
  lease_.emplace(shared_.arena, activationBytes_ + lowered_.workspaceBytes);
  // Libraries load what they need at the first execution, which a capture would not survive.
  lowered_.run(runOf(*slots_.front(), workspace()));
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
  for (const auto& slot : slots_) captureSteps(*slot);
}

CudaExecutable::~CudaExecutable() {
  // A run that failed may have left kernels under way that use what is freed now.
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
      // A run of fewer images also computes the rest.
      context_.call(context_.api().cuMemsetD8Async, slot->inputs.back()->address(), 0,
                    std::max<size_t>(size, 1), context_.compute());
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

Run CudaExecutable::runOf(const Slot& slot, CUdeviceptr workspace) {
  Run run{shared_.arena.address(), workspace, {}, {}};
  for (const auto& memory : slot.inputs) run.inputs.push_back(memory->address());
  for (const auto& memory : slot.outputs) run.outputs.push_back(memory->address());
  return run;
}

void CudaExecutable::captureSteps(Slot& slot) {
  slot.graph = capture(context_, [this, run = runOf(slot, workspace())] { lowered_.run(run); });
  slot.generation = shared_.arena.generation();
}

void CudaExecutable::settleChallenges() {
  if (lowered_.challengers.empty()) return;
  std::vector<Challenger> challengers;  // they outlive the graphs that hold the steps that lost
  challengers.swap(lowered_.challengers);
  cuda::settleChallenges(shared_, *stopwatch_, challengers, lowered_);
  for (const auto& slot : slots_) captureSteps(*slot);
}

CUdeviceptr CudaExecutable::workspace() { return shared_.arena.address() + activationBytes_; }

size_t CudaExecutable::byteCount(int value, size_t images) const {
  const Value& v = program_.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), images);
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

/** One call of run(). A batch above the executable's is run in parts. */
struct CudaExecutable::Call {
  Call(const Bindings& bindings, Completion done, size_t parts)
      : bindings(bindings), done(std::move(done)), parts(parts) {}

  /** Notes that `count` parts have ended. When the last one ends, calls done() with the first
   * failure. */
  void end(size_t count, const std::exception_ptr& why) {
    {
      const std::lock_guard lock(mutex);
      if (!failure) failure = why;
      parts -= count;
      if (parts > 0) return;
    }
    try {
      if (!failure && bindings.cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
    } catch (...) {
      failure = std::current_exception();
    }
    done(failure);
  }

  const Bindings bindings;

 private:
  Completion done;
  std::mutex mutex;
  size_t parts;
  std::exception_ptr failure;
};

void CudaExecutable::run(size_t batch, const std::vector<Binding>& inputs,
                         const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                         Completion done) noexcept {
  const auto size = static_cast<size_t>(batch_);
  size_t parts = std::max<size_t>((batch + size - 1) / size, 1);
  std::shared_ptr<Call> call;
  try {
    const Bindings bindings{inputs, outputs, cancelled, batch == size};
    call = std::make_shared<Call>(bindings, std::move(done), parts);
  } catch (...) {
    return done(std::current_exception());
  }
  try {
    context_.enter();
    parameters_->refresh(usedParameters_);
    settleChallenges();
    for (size_t first = 0; parts > 0; first += size, --parts) {
      if (first > 0 && cancelled.load()) return call->end(parts, nullptr);
      startPart(first, std::min(size, batch - first), call);
    }
  } catch (...) {
    call->end(parts, std::current_exception());
  }
}

void CudaExecutable::startPart(size_t first, size_t batch, const std::shared_ptr<Call>& call) {
  Slot& slot = acquire();
  try {
    context_.throwIfLost();  // the device may have been lost during the wait
    context_.throwIfInterrupted();
    start(slot, first, batch, call->bindings);
    shared_.completions.await(slot.downloaded.get(),
                              [this, &slot, call](const std::exception_ptr& failure) {
                                failure ? abandon(slot) : release(slot);
                                call->end(1, failure);
                              });
  } catch (...) {
    abandon(slot);
    throw;
  }
}

void CudaExecutable::abandon(Slot& slot) {
  for (const CUstream stream : {context_.copyIn(), context_.compute(), context_.copyOut()}) {
    if (!context_.isLost()) context_.api().cuStreamSynchronize(stream);
  }
  release(slot);
}

/**
 * Starts a run whose inputs and outputs all lie on the device, without copies, if a recent call had
 * the same memory. A graph holds its addresses. Capturing one takes longer than the copies, so
 * memory gets a graph only when it is used again. Returns whether it started the run.
 */
bool CudaExecutable::startInPlace(Slot& slot, const Bindings& bindings) {
  constexpr size_t kKept = 8;
  InPlaceGraph wanted;
  for (const Binding& binding : bindings.inputs)
    wanted.inputs.push_back(static_cast<const DeviceMemory*>(binding.device)->address());
  for (const Binding& binding : bindings.outputs) {
    const CUdeviceptr address = static_cast<const DeviceMemory*>(binding.device)->address();
    // A step may write an output before another has read the input.
    if (std::ranges::count(wanted.inputs, address) + std::ranges::count(wanted.outputs, address) >
        0)
      return false;
    wanted.outputs.push_back(address);
  }
  const auto found = std::ranges::find_if(inPlace_, [&](const InPlaceGraph& known) {
    return known.inputs == wanted.inputs && known.outputs == wanted.outputs;
  });
  if (found == inPlace_.end()) {
    // The graph that is about to be destroyed may still run.
    if (inPlace_.size() == kKept) {
      context_.call(context_.api().cuStreamSynchronize, context_.compute());
      inPlace_.pop_back();
    }
    inPlace_.push_front(std::move(wanted));
    return false;
  }
  std::rotate(inPlace_.begin(), found, found + 1);
  InPlaceGraph& reused = inPlace_.front();
  if (!reused.graph || reused.generation != shared_.arena.generation()) {
    const Run run{shared_.arena.address(), workspace(), reused.inputs, reused.outputs};
    reused.graph = capture(context_, [&] { lowered_.run(run); });
    reused.generation = shared_.arena.generation();
  }
  context_.call(context_.api().cuGraphLaunch, reused.graph.get(), context_.compute());
  for (const auto* all : {&bindings.inputs, &bindings.outputs}) {
    for (const Binding& binding : *all) static_cast<DeviceMemory*>(binding.device)->markUsed();
  }
  context_.call(context_.api().cuEventRecord, slot.downloaded.get(), context_.compute());
  return true;
}

/** Enqueues upload, graph and download, each on its own stream, so that the uploads of one run
 * overlap the graph of the run before. */
void CudaExecutable::start(Slot& slot, size_t first, size_t batch, const Bindings& bindings) {
  const Api& api = context_.api();
  const auto isOnHost = [](const Binding& binding) { return binding.device == nullptr; };
  const bool isHost = std::ranges::any_of(bindings.inputs, isOnHost) ||
                      std::ranges::any_of(bindings.outputs, isOnHost);
  if (!isHost && bindings.isWhole && startInPlace(slot, bindings)) return;
  if (slot.generation != shared_.arena.generation()) captureSteps(slot);
  const auto addressOf = [&](const Memory* memory, int value) {
    return static_cast<const DeviceMemory*>(memory)->address() + byteCount(value, first);
  };
  const auto markUsed = [](Memory* memory) { static_cast<DeviceMemory*>(memory)->markUsed(); };

  for (size_t i = 0; i < bindings.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    const size_t bytes = byteCount(value, batch);
    if (bindings.inputs[i].device != nullptr || bytes == 0) continue;
    context_.call(api.cuMemcpyHtoDAsync_v2, slot.inputs[i]->address(),
                  bindings.inputs[i].host + byteCount(value, first), bytes, context_.copyIn());
  }
  if (std::ranges::any_of(bindings.inputs, isOnHost)) {
    context_.call(api.cuEventRecord, slot.uploaded.get(), context_.copyIn());
    context_.call(api.cuStreamWaitEvent, context_.compute(), slot.uploaded.get(), 0);
  }
  for (size_t i = 0; i < bindings.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (bindings.inputs[i].device == nullptr) continue;
    context_.call(api.cuMemcpyDtoDAsync_v2, slot.inputs[i]->address(),
                  addressOf(bindings.inputs[i].device, value), byteCount(value, batch),
                  context_.compute());
    markUsed(bindings.inputs[i].device);
  }
  context_.call(api.cuGraphLaunch, slot.graph.get(), context_.compute());
  for (size_t i = 0; i < bindings.outputs.size(); ++i) {
    const int value = program_.outputs[i];
    if (bindings.outputs[i].device == nullptr) continue;
    context_.call(api.cuMemcpyDtoDAsync_v2, addressOf(bindings.outputs[i].device, value),
                  slot.outputs[i]->address(), byteCount(value, batch), context_.compute());
    markUsed(bindings.outputs[i].device);
  }
  if (std::ranges::none_of(bindings.outputs, isOnHost)) {
    context_.call(api.cuEventRecord, slot.downloaded.get(), context_.compute());
    return;
  }
  context_.call(api.cuEventRecord, slot.computed.get(), context_.compute());
  context_.call(api.cuStreamWaitEvent, context_.copyOut(), slot.computed.get(), 0);
  for (size_t i = 0; i < bindings.outputs.size(); ++i) {
    const int value = program_.outputs[i];
    const size_t bytes = byteCount(value, batch);
    if (bindings.outputs[i].device != nullptr || bytes == 0) continue;
    context_.call(api.cuMemcpyDtoHAsync_v2, bindings.outputs[i].host + byteCount(value, first),
                  slot.outputs[i]->address(), bytes, context_.copyOut());
  }
  context_.call(api.cuEventRecord, slot.downloaded.get(), context_.copyOut());
}

}  // namespace vgg::cuda
