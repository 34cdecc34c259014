// One run of an executable: cut into parts where the batch is too large for one, each in a slot of
// its own, and ended on another thread.
#include <algorithm>

#include "cuda/executable.h"

namespace vgg::cuda {

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

/** One call of run: a batch above the largest is run in parts. */
struct CudaExecutable::Call {
  Call(const std::vector<Binding>& inputs, const std::vector<Binding>& outputs,
       const std::atomic<bool>& cancelled, Completion done, size_t parts, bool isWhole)
      : inputs(inputs),
        outputs(outputs),
        cancelled(cancelled),
        isWhole(isWhole),
        done(std::move(done)),
        parts(parts) {}

  /** So many parts have ended. The last to end says so, with the first failure. */
  void end(size_t count, const std::exception_ptr& why) {
    {
      const std::lock_guard lock(mutex);
      if (!failure) failure = why;
      parts -= count;
      if (parts > 0) return;
    }
    try {
      if (!failure && cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
    } catch (...) {
      failure = std::current_exception();
    }
    done(failure);
  }

  // They live until `done` is called.
  const std::vector<Binding>& inputs;
  const std::vector<Binding>& outputs;
  const std::atomic<bool>& cancelled;
  const bool isWhole;  // as many images as the executable takes

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
    call =
        std::make_shared<Call>(inputs, outputs, cancelled, std::move(done), parts, batch == size);
  } catch (...) {
    return done(std::current_exception());
  }
  try {
    context_.enter();
    parameters_->refresh(used_);
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
    context_.throwIfLost();  // it may have been, while this waited
    context_.throwIfInterrupted();
    start(slot, first, batch, *call);
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

std::vector<StepTime> CudaExecutable::profile(size_t batch, const std::vector<Binding>& inputs,
                                              const std::vector<Binding>& outputs,
                                              const std::atomic<bool>& cancelled) {
  context_.enter();
  parameters_->refresh(used_);
  settleChallenges();
  const Call call(inputs, outputs, cancelled, {}, 1, false);
  std::vector<StepTime> times;
  const auto size = static_cast<size_t>(batch_);
  for (size_t first = 0; first < std::max<size_t>(batch, 1); first += size) {
    const std::vector<StepTime> part = profilePart(first, std::min(size, batch - first), call);
    if (times.empty()) {
      times = part;
      continue;
    }
    for (size_t i = 0; i < times.size(); ++i) {
      StepTime& sum = times[i];
      const StepTime& more = part[i];
      sum.milliseconds += more.milliseconds;
      if (!sum.work || !more.work) continue;
      sum.work->products += more.work->products;
      sum.work->parameterBytes += more.work->parameterBytes;
    }
  }
  return times;
}

std::vector<StepTime> CudaExecutable::profilePart(size_t first, size_t batch, const Call& call) {
  Slot& slot = acquire();
  try {
    context_.throwIfLost();
    context_.throwIfInterrupted();
    if (call.cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
    start(slot, first, batch, call);
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
    context_.call(api.cuEventRecord, events[i].get(), context_.compute());
  };
  // The steps write the outputs again.
  context_.call(api.cuStreamWaitEvent, context_.compute(), slot.downloaded.get(), 0);
  const Run run = runOf(slot, workspace());
  record(0);
  for (size_t i = 0; i < steps_.size(); ++i) {
    steps_[i].function(run);
    record(i + 1);
  }
  for (auto& [value, used] : usedInputs_) {
    context_.call(api.cuMemcpyDtoHAsync_v2, used.counts.data(), used.memory->address(),
                  used.counts.size() * sizeof(int), context_.compute());
  }
  context_.call(api.cuStreamSynchronize, context_.compute());
  std::vector<StepTime> times;
  for (size_t i = 0; i < steps_.size(); ++i) {
    float milliseconds = 0;
    context_.call(api.cuEventElapsedTime, &milliseconds, events[i].get(), events[i + 1].get());
    const StepLabel& label = steps_[i].label;
    const auto used =
        label.role == StepRole::kOperation ? usedInputs_.find(label.value) : usedInputs_.end();
    times.push_back(
        {label, milliseconds,
         used == usedInputs_.end() ? std::nullopt : std::optional(used->second.work())});
  }
  return times;
}

/**
 * A run whose inputs and outputs all lie on the device: nothing is copied where the same memory
 * came lately. A graph holds its addresses, and to record one takes longer than the copies: those
 * that come once get none. Says whether it started the run.
 */
bool CudaExecutable::startDirect(Slot& slot, const Call& call) {
  constexpr size_t kKept = 8;
  Direct wanted;
  for (const Binding& binding : call.inputs)
    wanted.inputs.push_back(static_cast<const DeviceMemory*>(binding.device)->address());
  for (const Binding& binding : call.outputs) {
    const CUdeviceptr address = static_cast<const DeviceMemory*>(binding.device)->address();
    // A step may write an output before another has read the input.
    if (std::ranges::count(wanted.inputs, address) + std::ranges::count(wanted.outputs, address) >
        0)
      return false;
    wanted.outputs.push_back(address);
  }
  const auto found = std::ranges::find_if(direct_, [&](const Direct& known) {
    return known.inputs == wanted.inputs && known.outputs == wanted.outputs;
  });
  if (found == direct_.end()) {
    // What a graph is destroyed for may still run it.
    if (direct_.size() == kKept) {
      context_.call(context_.api().cuStreamSynchronize, context_.compute());
      direct_.pop_back();
    }
    direct_.push_front(std::move(wanted));
    return false;
  }
  std::rotate(direct_.begin(), found, found + 1);
  Direct& direct = direct_.front();
  if (!direct.graph || direct.generation != shared_.arena.generation()) {
    const Run run{shared_.arena.address(), workspace(), direct.inputs, direct.outputs};
    direct.graph = capture(context_, [&] { runSteps(run); });
    direct.generation = shared_.arena.generation();
  }
  context_.call(context_.api().cuGraphLaunch, direct.graph.get(), context_.compute());
  for (const auto* bindings : {&call.inputs, &call.outputs}) {
    for (const Binding& binding : *bindings) static_cast<DeviceMemory*>(binding.device)->markUsed();
  }
  context_.call(context_.api().cuEventRecord, slot.downloaded.get(), context_.compute());
  return true;
}

/** Upload, graph, download: each on its own stream, so that the uploads of one run overlap the
 * graph of the one before. */
void CudaExecutable::start(Slot& slot, size_t first, size_t batch, const Call& call) {
  const Api& api = context_.api();
  const auto isOnHost = [](const Binding& binding) { return binding.device == nullptr; };
  const bool isHost =
      std::ranges::any_of(call.inputs, isOnHost) || std::ranges::any_of(call.outputs, isOnHost);
  if (!isHost && call.isWhole && startDirect(slot, call)) return;
  if (slot.generation != shared_.arena.generation()) captureSteps(slot);
  const auto addressOf = [&](const Memory* memory, int value) {
    return static_cast<const DeviceMemory*>(memory)->address() + byteCount(value, first);
  };
  const auto markUsed = [](Memory* memory) { static_cast<DeviceMemory*>(memory)->markUsed(); };

  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    const size_t bytes = byteCount(value, batch);
    if (call.inputs[i].device != nullptr || bytes == 0) continue;
    context_.call(api.cuMemcpyHtoDAsync_v2, slot.inputs[i]->address(),
                  call.inputs[i].host + byteCount(value, first), bytes, context_.copyIn());
  }
  if (std::ranges::any_of(call.inputs, isOnHost)) {
    context_.call(api.cuEventRecord, slot.uploaded.get(), context_.copyIn());
    context_.call(api.cuStreamWaitEvent, context_.compute(), slot.uploaded.get(), 0);
  }
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (call.inputs[i].device == nullptr) continue;
    context_.call(api.cuMemcpyDtoDAsync_v2, slot.inputs[i]->address(),
                  addressOf(call.inputs[i].device, value), byteCount(value, batch),
                  context_.compute());
    markUsed(call.inputs[i].device);
  }
  context_.call(api.cuGraphLaunch, slot.graph.get(), context_.compute());
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const int value = program_.outputs[i];
    if (call.outputs[i].device == nullptr) continue;
    context_.call(api.cuMemcpyDtoDAsync_v2, addressOf(call.outputs[i].device, value),
                  slot.outputs[i]->address(), byteCount(value, batch), context_.compute());
    markUsed(call.outputs[i].device);
  }
  if (std::ranges::none_of(call.outputs, isOnHost)) {
    context_.call(api.cuEventRecord, slot.downloaded.get(), context_.compute());
    return;
  }
  context_.call(api.cuEventRecord, slot.computed.get(), context_.compute());
  context_.call(api.cuStreamWaitEvent, context_.copyOut(), slot.computed.get(), 0);
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const int value = program_.outputs[i];
    const size_t bytes = byteCount(value, batch);
    if (call.outputs[i].device != nullptr || bytes == 0) continue;
    context_.call(api.cuMemcpyDtoHAsync_v2, call.outputs[i].host + byteCount(value, first),
                  slot.outputs[i]->address(), bytes, context_.copyOut());
  }
  context_.call(api.cuEventRecord, slot.downloaded.get(), context_.copyOut());
}

}  // namespace vgg::cuda
