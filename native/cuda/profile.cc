// Measures the time of each step of a run.
#include <algorithm>

#include "cuda/executable.h"

namespace vgg::cuda {

std::vector<StepTime> CudaExecutable::profile(size_t batch, const std::vector<Binding>& inputs,
                                              const std::vector<Binding>& outputs,
                                              const std::atomic<bool>& cancelled) {
  context_.enter();
  parameters_->refresh(usedParameters_);
  settleChallenges();
  const Bindings bindings{inputs, outputs, cancelled, false};
  std::vector<StepTime> times;
  const auto size = static_cast<size_t>(batch_);
  for (size_t first = 0; first < std::max<size_t>(batch, 1); first += size) {
    const std::vector<StepTime> part = profilePart(first, std::min(size, batch - first), bindings);
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

std::vector<StepTime> CudaExecutable::profilePart(size_t first, size_t batch,
                                                  const Bindings& bindings) {
  Slot& slot = acquire();
  try {
    context_.throwIfLost();
    context_.throwIfInterrupted();
    if (bindings.cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
    start(slot, first, batch, bindings);
    std::vector<StepTime> times = timeSteps(slot);
    release(slot);
    return times;
  } catch (...) {
    abandon(slot);
    throw;
  }
}

/** Runs the steps once more, with events between them. They are enqueued while the run that was
 * started before goes on, so that the events measure the GPU's time and not the host's. */
std::vector<StepTime> CudaExecutable::timeSteps(const Slot& slot) {
  const Api& api = context_.api();
  const std::vector<LabelledStep>& steps = lowered_.steps;
  std::vector<Event> events;
  for (size_t i = 0; i <= steps.size(); ++i) events.push_back(context_.makeEvent(CU_EVENT_DEFAULT));
  const auto record = [&](size_t i) {
    context_.call(api.cuEventRecord, events[i].get(), context_.compute());
  };
  // The steps write the outputs again.
  context_.call(api.cuStreamWaitEvent, context_.compute(), slot.downloaded.get(), 0);
  const Run run = runOf(slot, workspace());
  record(0);
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i].function(run);
    record(i + 1);
  }
  for (auto& [value, used] : lowered_.usedInputs) {
    context_.call(api.cuMemcpyDtoHAsync_v2, used.counts.data(), used.memory->address(),
                  used.counts.size() * sizeof(int), context_.compute());
  }
  context_.call(api.cuStreamSynchronize, context_.compute());
  std::vector<StepTime> times;
  for (size_t i = 0; i < steps.size(); ++i) {
    float milliseconds = 0;
    context_.call(api.cuEventElapsedTime, &milliseconds, events[i].get(), events[i + 1].get());
    const StepLabel& label = steps[i].label;
    const auto used = label.role == StepRole::kOperation ? lowered_.usedInputs.find(label.value)
                                                         : lowered_.usedInputs.end();
    times.push_back(
        {label, milliseconds,
         used == lowered_.usedInputs.end() ? std::nullopt : std::optional(used->second.work())});
  }
  return times;
}

}  // namespace vgg::cuda
