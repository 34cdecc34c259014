#include "cuda/stopwatch.h"

#include <algorithm>

#include "core/random.h"

namespace vgg::cuda {

GraphExec capture(Context& context, const std::function<void()>& work) {
  const Api& api = context.api();
  // Thread-local: other threads may allocate while this one records.
  context.call(api.cuStreamBeginCapture_v2, context.compute(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  CUgraph captured = nullptr;
  const CUresult ended = api.cuStreamEndCapture(context.compute(), &captured);
  const Handle<CUgraph, &Api::cuGraphDestroy> graph(context, captured);
  if (ended != CUDA_SUCCESS && !context.isLost()) {
    // The stream must not go on recording.
    CUgraph rest = nullptr;
    api.cuStreamEndCapture(context.compute(), &rest);
    const Handle<CUgraph, &Api::cuGraphDestroy> dropped(context, rest);
  }
  if (failure) std::rethrow_exception(failure);
  context.check(api.cuStreamEndCapture, ended);
  CUgraphExec executable = nullptr;
  context.call(api.cuGraphInstantiateWithFlags, &executable, graph.get(), 0);
  GraphExec ready(context, executable);
  context.call(api.cuGraphUpload, executable, context.compute());
  return ready;
}

Stopwatch::Stopwatch(const Shared& shared, const Program& program, int64_t batch,
                     std::vector<CUdeviceptr> inputs, std::vector<CUdeviceptr> outputs)
    : context_(shared.context),
      arena_(shared.arena),
      program_(program),
      batch_(batch),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)) {}

Run Stopwatch::trial(const DeviceMemory* scratch) {
  return {arena_.address(), scratch == nullptr ? 0 : scratch->address(), inputs_, outputs_};
}

void Stopwatch::fillInputs() {
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
    context_.call(context_.api().cuMemcpyHtoDAsync_v2, inputs_[i], from,
                  draws.size() * byteSize(value.dtype), context_.compute());
    context_.call(context_.api().cuStreamSynchronize, context_.compute());
  }
}

double Stopwatch::measure(const std::function<void()>& work) {
  constexpr int kTimed = 10;
  context_.throwIfInterrupted();
  const Api& api = context_.api();
  const Event start = context_.makeEvent(CU_EVENT_DEFAULT);
  const Event end = context_.makeEvent(CU_EVENT_DEFAULT);
  // Libraries load what they need, and engines may fail, only when they run for the first time.
  work();
  context_.call(api.cuStreamSynchronize, context_.compute());
  // Time it inside a graph, as it will run: separate launches would measure the host.
  const GraphExec graph = capture(context_, [&] {
    for (int i = 0; i < kTimed; ++i) work();
  });
  context_.call(api.cuGraphLaunch, graph.get(), context_.compute());
  context_.call(api.cuEventRecord, start.get(), context_.compute());
  context_.call(api.cuGraphLaunch, graph.get(), context_.compute());
  context_.call(api.cuEventRecord, end.get(), context_.compute());
  context_.call(api.cuEventSynchronize, end.get());
  float milliseconds = 0;
  context_.call(api.cuEventElapsedTime, &milliseconds, start.get(), end.get());
  return milliseconds / kTimed;
}

std::optional<double> Stopwatch::timeOf(const Step& step, size_t workspaceBytes) {
  try {
    const DeviceMemory scratch(context_, workspaceBytes, nullptr);
    return measure([&, run = trial(&scratch)] { step(run); });
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    return std::nullopt;
  }
}

}  // namespace vgg::cuda
