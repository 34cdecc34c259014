// The control block of the fake CUDA libraries: switches that a test sets and counts that it reads,
// at fixed offsets so that JavaScript can use fs.readSync and fs.writeSync on the mapped file.
#pragma once

#include <cstddef>
#include <cstdint>

/** failKind: what the chosen call answers, as each library's usual status. */
enum FakeCudaFailKind : int64_t {
  kFakeCudaOutOfMemory = 1,
  kFakeCudaNotSupported = 2,
  kFakeCudaInternalError = 3,   // the driver's 999, CUDA_ERROR_UNKNOWN, once
  kFakeCudaIllegalAddress = 4,  // sticky: the context is lost
  kFakeCudaUnknown = 5,         // 999 from every later call, as from a GPU that fell off the bus
};

/** The test sets failAt, failKind and delayMicroseconds. The library sets all other fields to 0
    when it is loaded, and only it writes them. One process per file. */
struct FakeCudaControl {
  int64_t layout;             //   0: kFakeCudaLayout once the library is loaded
  int64_t calls;              //   8: calls that can fail, so far
  int64_t failAt;             //  16: the number of the call that fails, from 1; 0 for no failure
  int64_t failKind;           //  24: FakeCudaFailKind
  int64_t failed;             //  32: the number of calls made to fail
  int64_t delayMicroseconds;  //  40: the delay before each operation on a stream
  int64_t misuseCount;        //  48
  int64_t deviceAllocations;  //  56: live objects, from here on
  int64_t pinnedAllocations;  //  64
  int64_t streams;            //  72
  int64_t events;             //  80
  int64_t modules;            //  88
  int64_t graphs;             //  96
  int64_t graphExecs;         // 104
  int64_t contextsRetained;   // 112
  int64_t cudnnHandles;       // 120
  int64_t cudnnDescriptors;   // 128
  int64_t cublasLtObjects;    // 136: handles, descriptions, layouts and preferences
  int64_t nvrtcPrograms;      // 144
  int64_t deviceBytes;        // 152: allocated now, all devices
  int64_t peakDeviceBytes;    // 160
  int64_t devicesLost;        // 168: devices with a sticky error
  int64_t kernelLaunches;     // 176: operations that ran on streams, by kind
  int64_t cudnnExecutions;    // 184
  int64_t matmuls;            // 192
  int64_t graphLaunches;      // 200
  int64_t copies;             // 208
  int64_t compilations;       // 216: programs compiled by NVRTC
  int64_t reserved[4];        // 224
  char misuse[512];           // 256: the first misuse, 0-terminated
  char lost[256];             // 768: why the first device was lost, 0-terminated
};

inline constexpr int64_t kFakeCudaLayout = 1;
static_assert(offsetof(FakeCudaControl, deviceAllocations) == 56);
static_assert(offsetof(FakeCudaControl, devicesLost) == 168);
static_assert(offsetof(FakeCudaControl, misuse) == 256 && sizeof(FakeCudaControl) == 1024);

extern "C" __attribute__((visibility("default"))) FakeCudaControl* fakeCudaControl();
