// The vectors of the instruction set that a file is compiled for, in the namespace VGG_KERNELS.
// Nothing here may come from a header with inline functions of external linkage: the linker keeps
// one copy of those, perhaps one that this machine cannot run.
#pragma once

#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cstring>

#include "cpu/kernels.h"

namespace vgg::cpu::VGG_KERNELS {

// In kernels.cc's table.
void tile(const Tile& tile);
void tileOfHalf(const Tile& tile);
void pooledTile(const PooledTile& tile);
void winogradInput(const WinogradInput& transform);
void winogradOutput(const WinogradOutput& transform);
void widen(float* to, const uint16_t* from, ptrdiff_t length);
void narrow(uint16_t* to, const float* from, ptrdiff_t length);

namespace {

#if defined(__AVX512F__)
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
constexpr ptrdiff_t kPanelWidth = 2 * kLanes;
constexpr int kPooledRows = kMaxRows > 6 ? 2 : 1;  // four pixels each, two vectors a pixel

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
using Unaligned =
    float __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));
using Halves = uint16_t
    __attribute__((vector_size(kLanes * sizeof(uint16_t)), aligned(alignof(uint16_t)), may_alias));
using Bits = uint32_t __attribute__((vector_size(kLanes * sizeof(uint32_t))));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }

/** float16 → float32. */
inline Vector load(const uint16_t* from) {
#if defined(__AVX512F__)
  // GCC 12 warns of what the unmasked form leaves undefined.
  return _mm512_maskz_cvtph_ps(static_cast<__mmask16>(-1),
                               _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
  const Bits half = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Bits);
  // The exponent is moved to float32's bias by a multiplication, which takes denormals along.
  const Bits magnitude = (half & 0x7fffU) << 13;
  const Vector scaled = reinterpret_cast<Vector>(magnitude) * 0x1p112F;
  const Bits endless = magnitude | 0x7f800000U;
  const Bits bits = half & 0x7c00U;
  const Bits value = bits == 0x7c00U ? endless : reinterpret_cast<Bits>(scaled);
  return reinterpret_cast<Vector>(value | (half & 0x8000U) << 16);
#endif
}

// NaN < 0 is false: NaN stays.
inline Vector rectify(Vector v) { return v < 0.0F ? Vector{} : v; }
/** The greater, or NaN where either is NaN. */
inline Vector greater(Vector a, Vector b) { return ((b > a) | (b != b)) ? b : a; }

}  // namespace

}  // namespace vgg::cpu::VGG_KERNELS
