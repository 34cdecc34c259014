// The order of streams, graphs and events of the fake driver, and calls that fail because a test
// asks for it.
#include <thread>

#include "fixture.h"
#include "tests.h"

void streamsAndGraphsKeepTheirOrder() {
  CUstream other = nullptr;
  CUevent event = nullptr;
  CUevent end = nullptr;
  OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  OK(cuEventCreate(&event, CU_EVENT_DEFAULT));
  OK(cuEventCreate(&end, CU_EVENT_DEFAULT));
  void* pinned = nullptr;
  OK(cuMemHostAlloc(&pinned, 64, CU_MEMHOSTALLOC_PORTABLE));
  auto* bytes = static_cast<unsigned char*>(pinned);
  const Buffer memory(16);
  control().delayMicroseconds = 20000;
  OK(cuMemsetD8Async(memory.pointer, 5, 64, other));
  OK(cuEventRecord(event, other));
  OK(cuStreamWaitEvent(stream, event, 0));
  OK(cuMemcpyDtoHAsync_v2(pinned, memory.pointer, 64, stream));
  EXPECT(bytes[0] == 0xFF);
  OK(cuStreamSynchronize(stream));
  EXPECT(bytes[0] == 5);
  control().delayMicroseconds = 0;

  // Captures two streams into one graph.
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuMemsetD8Async(memory.pointer, 9, 64, stream));
  OK(cuEventRecord(event, stream));
  OK(cuStreamWaitEvent(other, event, 0));
  OK(cuMemcpyDtoHAsync_v2(pinned, memory.pointer, 64, other));
  OK(cuEventRecord(end, other));
  OK(cuStreamWaitEvent(stream, end, 0));
  OK(cuStreamEndCapture(stream, &graph));
  OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  EXPECT(bytes[0] == 5);
  OK(cuEventRecord(event, stream));
  control().delayMicroseconds = 20000;
  OK(cuGraphLaunch(exec, stream));
  OK(cuEventRecord(end, stream));
  EXPECT_STATUS(cuEventQuery(end), CUDA_ERROR_NOT_READY);
  OK(cuEventSynchronize(end));
  OK(cuEventQuery(end));
  control().delayMicroseconds = 0;
  EXPECT(bytes[0] == 9);
  float milliseconds = 0;
  OK(cuEventElapsedTime(&milliseconds, event, end));
  EXPECT(milliseconds > 0);

  // A call that a capturing thread may not make ends the capture. Another thread may make it.
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  std::thread([] {
    OK(cuCtxSetCurrent(context));
    const Buffer allowed(4);
  }).join();
  CUdeviceptr pointer = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_STATUS(cuMemsetD8Async(memory.pointer, 1, 64, stream),
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  CUgraph none = nullptr;
  EXPECT_STATUS(cuStreamEndCapture(stream, &none), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuEventRecord(event, stream));
  OK(cuStreamWaitEvent(other, event, 0));
  EXPECT_STATUS(cuStreamEndCapture(stream, &none), 904);

  OK(cuGraphExecDestroy(exec));
  OK(cuGraphDestroy(graph));
  OK(cuEventDestroy_v2(event));
  OK(cuEventDestroy_v2(end));
  OK(cuMemFreeHost(pinned));
  OK(cuStreamDestroy_v2(other));
  EXPECT(control().misuseCount == 0);
  EXPECT_STATUS(cuStreamSynchronize(other), CUDA_ERROR_INVALID_HANDLE);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
}

void callsFailWhereAsked() {
  CUdeviceptr pointer = 0;
  const auto failNext = [](int64_t kind) {
    control().failKind = kind;
    control().failAt = control().calls + 1;
  };
  failNext(kFakeCudaOutOfMemory);
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_OUT_OF_MEMORY);
  failNext(kFakeCudaNotSupported);
  cudnnBackendDescriptor_t d = nullptr;
  EXPECT_STATUS(cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &d), 3000);
  failNext(kFakeCudaInternalError);
  nvrtcProgram program = nullptr;
  EXPECT_STATUS(nvrtcCreateProgram(&program, "", "", 0, nullptr, nullptr), 11);
  EXPECT(control().failed == 3);
  OK(nvrtcCreateProgram(&program, "int x;", "x.cu", 0, nullptr, nullptr));
  const char* option = "--gpu-architecture=sm_90";
  EXPECT_STATUS(nvrtcCompileProgram(program, 1, &option), NVRTC_ERROR_COMPILATION);
  OK(nvrtcDestroyProgram(&program));
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, size_t{1} << 40), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_STATUS(cuMemFree_v2(4096), CUDA_ERROR_INVALID_VALUE);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
}
