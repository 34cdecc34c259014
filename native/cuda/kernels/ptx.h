// What kernels need beyond plain C++: conversions, loads with cache hints, tensor-core products and
// launch overlap in PTX. Each function has a plain C++ twin, so that the same kernels also run on a
// CPU (there they are included after test/fake-cuda/emulator/emulate.h).
#pragma once

#include "launch.h"

struct Half {
  unsigned short bits;  // IEEE binary16
};
struct Bfloat {
  unsigned short bits;  // bfloat16: the upper half of a float
};

#ifdef __CUDACC_RTC__

#define KERNEL extern "C" __global__ void __launch_bounds__(geometry::kThreads)
// Limits the registers so that at least `blocks` blocks fit into a multiprocessor.
#define KERNEL_RESIDENT(blocks) \
  extern "C" __global__ void __launch_bounds__(geometry::kThreads, blocks)
// For loops over arrays that must stay in registers, if the compiler does not unroll by itself.
#define UNROLL _Pragma("unroll")
#define UNROLL_BY(count) _Pragma(VGG_QUOTED(unroll count))
#define VGG_QUOTED(text) #text

__forceinline__ unsigned bitsOf(float f) { return __float_as_uint(f); }
__forceinline__ float floatOf(unsigned bits) { return __uint_as_float(bits); }

__forceinline__ float toFloat(Half h) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits));
  return f;
}

// Rounds both values to nearest, ties to even. `low` comes first in memory.
__forceinline__ unsigned toPair(Half, float low, float high) {
  unsigned pair;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  asm("{ .reg .b16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b}; }"
      : "=r"(pair)
      : "f"(low), "f"(high));
#endif
  return pair;
}

// Loads an activation. Plain loads, because the read-only path demands data that are constant
// during the whole life of the kernel, and with overlapping launches activations are not.
template <typename T>
__forceinline__ T load(const T* from) {
  return *from;
}

// Loads a parameter, which is constant while any kernel that reads it runs.
template <typename T>
__forceinline__ T loadConstant(const T* from) {
  return __ldg(from);
}
__forceinline__ Half loadConstant(const Half* from) { return {__ldg(&from->bits)}; }
__forceinline__ Bfloat loadConstant(const Bfloat* from) { return {__ldg(&from->bits)}; }

// Loads weights that are read once, without a place in the L1 cache. It does not use the read-only
// path, because the compiler moves such loads behind the wait for the previous kernel, and these
// must come before it.
__forceinline__ uint4 loadStream(const uint4* from) {
  uint4 v;
#if __CUDA_ARCH__ >= 800
  asm volatile("ld.global.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
#else
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
#endif
  return v;
}

template <typename T>
__forceinline__ void store(T* to, T value) {
  *to = value;
}

// Adds one to a counter that several blocks share, and returns its former value. Blocks that count
// later see what this thread stored before. With a barrier before and after, they see what all
// threads of the block stored.
__forceinline__ int countUp(int* counter) {
  int before;
  asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(counter)
               : "memory");
  return before;
}

// Reads a word from shared memory that was written in smaller pieces.
__forceinline__ unsigned sharedWord(const void* from) {
  return *static_cast<const unsigned*>(from);
}

// Waits until the previous kernels have ended and their stores are visible.
__forceinline__ void waitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel start as soon as there is room for it.
__forceinline__ void launchNext() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

#else

#define KERNEL [[maybe_unused]] static void
#define KERNEL_RESIDENT(blocks) KERNEL
#define UNROLL
#define UNROLL_BY(count)

inline unsigned bitsOf(float f) {
  unsigned bits;
  __builtin_memcpy(&bits, &f, 4);
  return bits;
}
inline float floatOf(unsigned bits) {
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}

inline float toFloat(Half h) {
  _Float16 f;
  __builtin_memcpy(&f, &h, 2);
  return static_cast<float>(f);
}
inline unsigned toPair(Half, float low, float high) {
  const _Float16 pair[2] = {static_cast<_Float16>(low), static_cast<_Float16>(high)};
  unsigned bits;
  __builtin_memcpy(&bits, pair, 4);
  return bits;
}

template <typename T>
T load(const T* from) {
  emulate::checkAccess(from, sizeof(T), false);
  T value;
  __builtin_memcpy(&value, from, sizeof(T));
  return value;
}
template <typename T>
T loadConstant(const T* from) {
  return load(from);
}
inline uint4 loadStream(const uint4* from) { return load(from); }
template <typename T>
void store(T* to, T value) {
  emulate::checkAccess(to, sizeof(T), true);
  if (!emulate::storesNothing) __builtin_memcpy(to, &value, sizeof(T));
}

inline int countUp(int* counter) {
  emulate::checkAccess(counter, sizeof(int), true);
  return std::atomic_ref<int>(*counter).fetch_add(1);
}

inline unsigned sharedWord(const void* from) {
  unsigned word;
  __builtin_memcpy(&word, from, 4);
  return word;
}

inline void waitForPrevious() { emulate::hasWaited = true; }
inline void launchNext() {}

#endif

#if !defined(__CUDACC_RTC__) || __CUDA_ARCH__ < 800
// Rounds in integers, for GPUs without an instruction for it. NaN must not round to infinity.
__forceinline__ unsigned short roundToBfloat(float f) {
  const unsigned bits = bitsOf(f);
  if (f != f) return static_cast<unsigned short>((bits >> 16) | 0x40);
  return static_cast<unsigned short>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
__forceinline__ unsigned toPair(Bfloat, float low, float high) {
  return roundToBfloat(low) | static_cast<unsigned>(roundToBfloat(high)) << 16;
}
// Rounds to the nearest 19-bit float, which is what tensor cores read, ties away from zero.
__forceinline__ float roundToTf32(float f) {
  return f - f == 0 ? floatOf((bitsOf(f) + 0x1000) & 0xffffe000) : f;
}
#else
__forceinline__ unsigned toPair(Bfloat, float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
__forceinline__ float roundToTf32(float f) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(f));
  return floatOf(bits);
}
#endif

// Returns the greater value. NaN is greater than everything.
__forceinline__ float maxOrNan(float a, float b) {
#if defined(__CUDACC_RTC__) && __CUDA_ARCH__ >= 800
  float greater;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(greater) : "f"(a), "f"(b));
  return greater;
#else
  return a > b || a != a ? a : b;
#endif
}

// Tensor cores: one warp computes d (16, 8) += a (16, k) b (k, 8), with sums in float. The PTX
// manual has the fragments in "Matrix Fragments for mma.m16n8k8 / m16n8k16". With g = lane / 4 and
// t = lane % 4, d has rows g, g, g+8, g+8 and columns 2t, 2t+1, 2t, 2t+1.
#ifdef __CUDACC_RTC__

// a: words (g, 2t), (g+8, 2t). b: word (2t, g). A word holds two neighbours in k.
__forceinline__ void multiply16x8x8(float (&d)[4], unsigned a0, unsigned a1, unsigned b) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(b));
}

// a: words (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8); b: words (2t, g), (2t+8, g).
__forceinline__ void multiply16x8x16(Half, float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                     unsigned b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  multiply16x8x8(d, a[0], a[1], b0);
  multiply16x8x8(d, a[2], a[3], b1);
#endif
}

#if __CUDA_ARCH__ >= 800
__forceinline__ void multiply16x8x16(Bfloat, float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                     unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// a: tf32 values (g, t), (g+8, t), (g, t+4), (g+8, t+4); b: (t, g), (t+4, g).
__forceinline__ void multiplyTf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same product for the first half of k.
__forceinline__ void multiplyTf32(float (&d)[4], unsigned a0, unsigned a1, unsigned b) {
  asm volatile(
      "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(b));
}
#endif

#else

inline void multiply16x8x8(float (&d)[4], unsigned a0, unsigned a1, unsigned b) {
  emulate::multiply(emulate::Operands::kHalf8, d, {a0, a1, b});
}
inline void multiply16x8x16(Half, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulate::multiply(emulate::Operands::kHalf16, d, {a[0], a[1], a[2], a[3], b0, b1});
}
inline void multiply16x8x16(Bfloat, float (&d)[4], const unsigned (&a)[4], unsigned b0,
                            unsigned b1) {
  emulate::multiply(emulate::Operands::kBfloat16, d, {a[0], a[1], a[2], a[3], b0, b1});
}
inline void multiplyTf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulate::multiply(emulate::Operands::kTf32, d, {a[0], a[1], a[2], a[3], b0, b1});
}
inline void multiplyTf32(float (&d)[4], unsigned a0, unsigned a1, unsigned b) {
  multiplyTf32(d, {a0, a1, 0, 0}, b, 0);
}

#endif
