// Device and pinned memory: host memory whose addresses are never reused, with guard bytes around
// each allocation, so that every wrong access is detected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "emulator/emulate.h"
#include "memo.h"

namespace fake {

/** An access that would destroy a real context. */
struct IllegalAddress : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Space : uint8_t { kDevice, kPinned };

/** Allocates bytes of 0xFF, which are NaN in every float type. Null if memory is short. */
void* allocate(Space space, int device, size_t bytes);
/** Frees an allocation. False, with a misuse recorded, if no live allocation starts there. */
bool release(Space space, int device, const void* pointer, const char* caller);
/** Locates [pointer, pointer + bytes): 1 inside one live allocation, 0 outside all, -1 across. */
int locate(Space space, int device, const void* pointer, size_t bytes);
/** Throws IllegalAddress unless the range is inside one live allocation of the device. */
void requireDeviceRange(int device, const void* pointer, size_t bytes, const std::string& what);
/** The allocation around a kernel's access, or null. Kernels may access pinned memory too. */
emulate::Window* kernelWindow(int device, const void* pointer, size_t bytes, bool write);

/** The memory that kernels touched between the two calls, as one interval per allocation. */
struct Accesses {
  std::vector<Interval> reads, writes;
  bool isKnown = true;  // false if kernels overlapped or touched pinned memory
};
void beginAccesses();
Accesses endAccesses();
/** Records a misuse for each allocation whose guard bytes were overwritten. */
void checkGuards();
size_t totalBytes();
size_t usedBytes(int device);
void forgetMemory(int device);

}  // namespace fake
