// The driver's calls for streams, events, capture and graphs.
#include "stream.h"

#include <cmath>

#include "device.h"
#include "memory.h"

using namespace fake;

namespace {

int lostOr(const Stream& stream, int status) { return statusOf(stream.device, status); }

int findEvent(CUevent handle, const char* caller, std::shared_ptr<Event>* event) {
  *event = find<Event>(handle, caller);
  return *event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

CUresult cuStreamCreate(CUstream* stream, unsigned int flags) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!stream || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  if (flags != CU_STREAM_NON_BLOCKING)
    misuse("cuStreamCreate: Expected CU_STREAM_NON_BLOCKING; others wait for the null stream");
  *stream = publish(Stream::start(*currentContext()));
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream handle) {
  const int status = enterFreeing(Needs::kContext);
  if (status == CUDA_ERROR_NOT_INITIALIZED || status == CUDA_ERROR_INVALID_CONTEXT) return status;
  const auto stream = retire<Stream>(handle, "cuStreamDestroy");
  if (!stream) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->isCapturing()) {
    misuse("cuStreamDestroy: the stream is capturing");
    const std::lock_guard lock(captureMutex());
    if (stream->capture) stream->capture->invalid = true;
  }
  stream->close();
  return status;
}

CUresult cuStreamSynchronize(CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuStreamSynchronize", &stream)) return status;
  if (const int status = forbidOnCapturing(*stream)) return status;
  stream->synchronize();
  checkGuards();
  return lostOr(*stream, CUDA_SUCCESS);
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent eventHandle, unsigned int flags) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  std::shared_ptr<Event> event;
  if (const int status = findStream(handle, "cuStreamWaitEvent", &stream)) return status;
  if (const int status = findEvent(eventHandle, "cuStreamWaitEvent", &event)) return status;
  return flags == 0 ? waitForEvent(stream, event) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuStreamBeginCapture", &stream)) return status;
  if (mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) {
    misuse("cuStreamBeginCapture: Expected mode THREAD_LOCAL");
    return CUDA_ERROR_INVALID_VALUE;
  }
  return beginCapture(stream);
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* result) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!result) return CUDA_ERROR_INVALID_VALUE;
  *result = nullptr;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuStreamEndCapture", &stream)) return status;
  auto graph = std::make_shared<Graph>(stream->device);
  if (const int status = endCapture(stream, &graph->steps)) return status;
  *result = publish(graph);
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* result, unsigned int flags) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!result || flags > (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING))
    return CUDA_ERROR_INVALID_VALUE;
  auto event = std::make_shared<Event>(currentContext()->device);
  event->flags = flags;
  *result = publish(event);
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent handle) {
  const int status = enterFreeing(Needs::kContext);
  if (status == CUDA_ERROR_NOT_INITIALIZED || status == CUDA_ERROR_INVALID_CONTEXT) return status;
  return retire<Event>(handle, "cuEventDestroy") ? status : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuEventRecord(CUevent eventHandle, CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  std::shared_ptr<Event> event;
  if (const int status = findEvent(eventHandle, "cuEventRecord", &event)) return status;
  if (const int status = findStream(handle, "cuEventRecord", &stream)) return status;
  if (event->device != stream->device) return CUDA_ERROR_INVALID_HANDLE;
  return recordEvent(event, stream);
}

// Not counted, because loops call it as often as time allows. The numbers of the other calls are
// then the same in every run.
CUresult cuEventQuery(CUevent handle) {
  const UnderWay call;
  if (const int status = forbidWhileCapturing()) return status;
  std::shared_ptr<Event> event;
  if (const int status = findEvent(handle, "cuEventQuery", &event)) return status;
  {
    const std::lock_guard lock(captureMutex());
    if (event->lastWasCaptured) return kCapturedEvent;
  }
  {
    const std::lock_guard lock(event->mutex);
    if (event->completed < event->recorded) return CUDA_ERROR_NOT_READY;
  }
  checkGuards();
  return statusOf(event->device, CUDA_SUCCESS);
}

CUresult cuEventSynchronize(CUevent handle) {
  const UnderWay call;
  if (const int status = enter(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  std::shared_ptr<Event> event;
  if (const int status = findEvent(handle, "cuEventSynchronize", &event)) return status;
  {
    const std::lock_guard lock(captureMutex());
    if (event->lastWasCaptured) return kCapturedEvent;
  }
  {
    std::unique_lock lock(event->mutex);
    const uint64_t wanted = event->recorded;
    event->changed.wait(lock, [&] { return event->completed >= wanted; });
  }
  checkGuards();
  return statusOf(event->device, CUDA_SUCCESS);
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent startHandle, CUevent endHandle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Event> start;
  std::shared_ptr<Event> end;
  if (const int status = findEvent(startHandle, "cuEventElapsedTime", &start)) return status;
  if (const int status = findEvent(endHandle, "cuEventElapsedTime", &end)) return status;
  if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
  double clock[2] = {};
  int at = 0;
  for (Event* event : {start.get(), end.get()}) {
    const std::lock_guard lock(event->mutex);
    if (event->recorded == 0 || (event->flags & CU_EVENT_DISABLE_TIMING))
      return CUDA_ERROR_INVALID_HANDLE;
    if (event->completed < event->recorded) return CUDA_ERROR_NOT_READY;
    clock[at++] = event->clock;
  }
  *milliseconds = static_cast<float>((clock[1] - clock[0]) / 1e6);
  return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* result, CUgraph handle,
                                     unsigned long long flags) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!result || flags > 15) return CUDA_ERROR_INVALID_VALUE;
  const auto graph = find<Graph>(handle, "cuGraphInstantiate");
  if (!graph) return CUDA_ERROR_INVALID_HANDLE;
  auto exec = std::make_shared<GraphExec>(graph->device);
  exec->steps = graph->steps;
  *result = publish(exec);
  return CUDA_SUCCESS;
}

CUresult cuGraphUpload(CUgraphExec handle, CUstream streamHandle) {
  if (const int status = enter(Needs::kContext)) return status;
  const auto exec = find<GraphExec>(handle, "cuGraphUpload");
  if (!exec) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(streamHandle, "cuGraphUpload", &stream)) return status;
  if (const int status = forbidOnCapturing(*stream)) return status;
  return exec->device == stream->device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream streamHandle) {
  if (const int status = enter(Needs::kContext)) return status;
  const auto exec = find<GraphExec>(handle, "cuGraphLaunch");
  if (!exec) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(streamHandle, "cuGraphLaunch", &stream)) return status;
  if (exec->device != stream->device) return CUDA_ERROR_INVALID_VALUE;
  return stream->push({.run =
                           [exec](Stream& on) {
                             const std::lock_guard lock(exec->running);
                             for (const Step& step : exec->steps) {
                               step.run(on);
                               on.clock += step.nanoseconds;
                               if (step.counter) add(step.counter, 1);
                             }
                           },
                       .nanoseconds = 2000,
                       .counter = &FakeCudaControl::graphLaunches});
}

CUresult cuGraphExecDestroy(CUgraphExec handle) {
  const int status = enterFreeing(Needs::kContext);
  if (status == CUDA_ERROR_NOT_INITIALIZED || status == CUDA_ERROR_INVALID_CONTEXT) return status;
  return retire<GraphExec>(handle, "cuGraphExecDestroy") ? status : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuGraphDestroy(CUgraph handle) {
  const int status = enterFreeing(Needs::kContext);
  if (status == CUDA_ERROR_NOT_INITIALIZED || status == CUDA_ERROR_INVALID_CONTEXT) return status;
  return retire<Graph>(handle, "cuGraphDestroy") ? status : CUDA_ERROR_INVALID_HANDLE;
}
