// Device and pinned memory: host memory whose addresses are never given out twice, with guard bytes
// around each allocation, so that every wrong access is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "emulator/emulate.h"
#include "memo.h"

namespace fake {

/** An access that would end a real context. */
struct IllegalAddress : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Space : uint8_t { kDevice, kPinned };

/** Null if the device has less memory left. Filled with 0xFF: NaN in every float type. */
void* allocate(Space space, int device, size_t bytes);
/** False, and a misuse noted, when nothing alive starts there. */
bool release(Space space, int device, const void* pointer, const char* caller);
/** Where [pointer, pointer + bytes) lies: 1 inside one live allocation, 0 in none, -1 across. */
int locate(Space space, int device, const void* pointer, size_t bytes);
/** Throws IllegalAddress unless the range lies in one live allocation of the device. */
void requireDeviceRange(int device, const void* pointer, size_t bytes, const std::string& what);
/** The allocation around an access of a kernel, which may touch pinned memory too, or null. */
emulate::Window* kernelWindow(int device, const void* pointer, size_t bytes, bool write);

/** What kernels touched from one call to the other, as one interval per allocation. */
struct Accesses {
  std::vector<Interval> reads, writes;
  bool isKnown = true;  // false when kernels ran at the same time, or touched pinned memory
};
void beginAccesses();
Accesses endAccesses();
/** Notes a misuse for each allocation whose guard bytes were overwritten. */
void checkGuards();
size_t totalBytes();
size_t usedBytes(int device);
void forgetMemory(int device);

}  // namespace fake
