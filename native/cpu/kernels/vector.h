// The vectors of the instruction set that a file is compiled for, in the namespace VGG_KERNELS.
// Nothing here may use a header with inline functions of external linkage: the linker keeps one
// copy of such a function, perhaps one that this machine cannot run.
#pragma once

#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cpu/kernels.h"

namespace vgg::cpu::VGG_KERNELS {

// Entries of the table in kernels.cc.
void multiply(const PanelProduct& product);
void multiplyAndPool(const PooledPanelProduct& product);
void multiplyStrip(const StripProduct& product);
void winogradInput(const WinogradInput& transform);
void winogradOutput(const WinogradOutput& transform);

namespace {

#if defined(VGG_WIDE)  // for a test: AVX-512's shape, compiled for any target
constexpr ptrdiff_t kLanes = 16;
constexpr int kMaxRows = 14;
constexpr const char* kName = "wide";
#elif defined(__AVX512F__)
constexpr ptrdiff_t kLanes = 16;
constexpr int kMaxRows = 14;  // 28 accumulators, 2 columns of B and 1 broadcast in 32 registers
constexpr const char* kName = "avx512";
#elif defined(__AVX2__)
constexpr ptrdiff_t kLanes = 8;
constexpr int kMaxRows = 6;  // 12 + 2 + 1 of 16 registers
constexpr const char* kName = "avx2";
#elif defined(__aarch64__)
constexpr ptrdiff_t kLanes = 4;
constexpr int kMaxRows = 12;  // 24 + 2 + 1 of 32 registers
constexpr const char* kName = "neon";
#else
constexpr ptrdiff_t kLanes = 4;
constexpr int kMaxRows = 6;
constexpr const char* kName = "x86-64-v2";
#endif
constexpr ptrdiff_t kLine = 64;  // bytes of a cache line, which one prefetch loads
constexpr int kSecondCache = 2;  // locality for __builtin_prefetch: L2, not L1
constexpr ptrdiff_t kPanelWidth = 2 * kLanes;
constexpr int kPooledRows = kMaxRows > 6 ? 2 : 1;  // four pixels each, two vectors per pixel

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
// The attributes stand before the "=", because Clang ignores `aligned` after it.
using Unaligned
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias)) =
        float;
static_assert(alignof(Unaligned) == alignof(float));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }

#if defined(VGG_WIDE)
#elif defined(__AVX512F__)
#define VGG_HALVES
inline Vector load(const uint16_t* from) {
  // GCC 12 warns about undefined values in the unmasked form.
  return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(-1),
                               _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline void store(uint16_t* to, Vector value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_maskz_cvtps_ph(static_cast<__mmask16>(-1), value, 0));
}
#elif defined(__F16C__)
#define VGG_HALVES
inline Vector load(const uint16_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline void store(uint16_t* to, Vector value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(value, 0));
}
#elif defined(__aarch64__)
#define VGG_HALVES
inline Vector load(const uint16_t* from) {
  return reinterpret_cast<Vector>(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))));
}
inline void store(uint16_t* to, Vector value) {
  vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(reinterpret_cast<float32x4_t>(value))));
}
#endif
// With VGG_HALVES, the hardware widens and narrows vectors of float16 (as bits).

/** Forces both to be computed here. Otherwise Clang starts more products at once than the registers
 * hold. */
[[gnu::always_inline]] inline void hold([[maybe_unused]] Vector& a, [[maybe_unused]] Vector& b) {
#if !defined(__clang__) || defined(VGG_WIDE)  // a wide vector fits no register
#elif defined(__aarch64__)
  asm volatile("" : "+w"(a), "+w"(b));
#else
  asm volatile("" : "+v"(a), "+v"(b));
#endif
}

// NaN < 0 is false: NaN stays.
inline Vector rectify(Vector v) { return v < 0.0F ? Vector{} : v; }
/** Returns the maximum, or NaN if either is NaN. */
inline Vector greater(Vector a, Vector b) { return ((b > a) | (b != b)) ? b : a; }

}  // namespace

}  // namespace vgg::cpu::VGG_KERNELS
