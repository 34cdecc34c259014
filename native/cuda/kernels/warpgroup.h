// What compute capability 9.0 has for convolutions: asynchronous copies into shared memory, and
// asynchronous products by 128 threads straight from shared memory. Each function has a plain C++
// twin.
#pragma once

#include "cluster.h"

// Returns where vector `index` of a row of eight vectors lies. With this order neither the eight
// vectors of one row nor one vector from each of eight rows conflict in a bank. Rows count from the
// start of the shared memory.
__forceinline__ int swizzled(int row, int index) { return row * 8 + (index ^ row % 8); }

#ifdef __CUDACC_RTC__

// Copies 16 bytes from global to shared memory asynchronously, or writes 16 zeros.
__forceinline__ void copyLater(uint4* to, const void* from, bool isThere) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(to)), "l"(from),
               "r"(isThere ? 16 : 0)
               : "memory");
}
// Makes one group of the copies that were started since the last call.
__forceinline__ void endGroup() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until all but the last `kLeft` groups of this thread have arrived, also for products.
template <int kLeft>
__forceinline__ void waitForGroups() {
  asm volatile("cp.async.wait_group %0; fence.proxy.async.shared::cta;" ::"n"(kLeft) : "memory");
}

// Call it before the first product, and when sums were accessed between two products.
__forceinline__ void beginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__forceinline__ void endProducts() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
__forceinline__ void waitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// A matrix in shared memory, 16 elements deep: rows (of a) or columns (of b) of 128 bytes. Eight of
// them are adjacent, and the next eight begin `across` bytes later. `swizzled` gives the order of
// their 16-byte vectors.
class Operand {
 public:
  __forceinline__ Operand(const void* start, int across)
      : descriptor_(static_cast<unsigned long long>((sharedAddress(start) & 0x3ffff) >> 4) |
                    1ULL << 16 | static_cast<unsigned long long>(across >> 4) << 32 | 1ULL << 62) {}
  // Returns the operand that begins that many vectors later.
  [[nodiscard]] __forceinline__ Operand at(int vectors) const {
    Operand other = *this;
    other.descriptor_ += static_cast<unsigned long long>(vectors);
    return other;
  }
  [[nodiscard]] __forceinline__ unsigned long long descriptor() const { return descriptor_; }

 private:
  unsigned long long descriptor_;
};

#define SUMS8(i)                                                                      \
  "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3]), "+f"(d[(i) + 4]), \
      "+f"(d[(i) + 5]), "+f"(d[(i) + 6]), "+f"(d[(i) + 7])
#define PRODUCT_64_64_16(types)                                                           \
  asm volatile(                                                                           \
      "{ .reg .pred adds; setp.ne.b32 adds, %34, 0; "                                     \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." types                                 \
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "          \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, " \
      "%32, %33, adds, 1, 1, 0, 0; }"                                                     \
      : SUMS8(0), SUMS8(8), SUMS8(16), SUMS8(24)                                          \
      : "l"(a.descriptor()), "l"(b.descriptor()), "r"(adds ? 1 : 0))

// Starts d (64, 64) = a (64, 16) b (16, 64), or += if `adds`, by four warps. With g = lane / 4 and
// t = lane % 4, d[4 * j] and the three after it have rows g, g, g+8, g+8 of the warp's 16 and
// columns 8j + 2t, +1, +0, +1.
__forceinline__ void multiplyLater(Half, float (&d)[32], const Operand& a, const Operand& b,
                                   bool adds) {
  PRODUCT_64_64_16("f16.f16");
}
__forceinline__ void multiplyLater(Bfloat, float (&d)[32], const Operand& a, const Operand& b,
                                   bool adds) {
  PRODUCT_64_64_16("bf16.bf16");
}

#else

inline void copyLater(uint4* to, const void* from, bool isThere) {
  emulate::copyLater(to, isThere ? from : nullptr, sizeof *to);
}
inline void endGroup() { emulate::endGroup(); }
template <int kLeft>
void waitForGroups() {
  emulate::waitForGroups(kLeft);
}
inline void beginProducts() {}
inline void endProducts() { emulate::endProducts(); }
inline void waitForProducts() {}
class Operand {
 public:
  Operand(const void* start, int across) : operand_{start, across} {}
  [[nodiscard]] Operand at(int vectors) const {
    return {static_cast<const uint4*>(operand_.start) + vectors, operand_.across};
  }
  [[nodiscard]] const emulate::SharedOperand& get() const { return operand_; }

 private:
  emulate::SharedOperand operand_;
};
inline void multiplyLater(Half, float (&d)[32], const Operand& a, const Operand& b, bool adds) {
  emulate::multiplyShared(emulate::Operands::kHalf16, d, a.get(), b.get(), adds);
}
inline void multiplyLater(Bfloat, float (&d)[32], const Operand& a, const Operand& b, bool adds) {
  emulate::multiplyShared(emulate::Operands::kBfloat16, d, a.get(), b.get(), adds);
}

#endif
