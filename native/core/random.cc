#include "core/random.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace vgg {
namespace {

constexpr int kBlock = 256;  // counters computed at a time: each array below stays in the L1 cache

/** Returns ln(u) for u in (0, 1]. Splits exponent and mantissa, then sums the series of
 * 2·artanh((m - 1) / (m + 1)); |error| < 1e-9. */
inline float logarithm(float u) {
  int32_t bits = 0;
  std::memcpy(&bits, &u, sizeof bits);
  // m in [√½, √2)
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;
  bits -= exponent * (1 << 23);
  float m = 0;
  std::memcpy(&m, &bits, sizeof m);
  const float s = (m - 1.0F) / (m + 1.0F);
  const float s2 = s * s;
  const float series = 2.0F + s2 * (2.0F / 3 + s2 * (2.0F / 5 + s2 * (2.0F / 7 + s2 * (2.0F / 9))));
  return static_cast<float>(exponent) * 0.693147180559945F + s * series;
}

/** Computes cos and sin of 2πv for v in [0, 1]: Taylor series on one eighth of the circle, then
 * rotation by quarter turns. */
inline void cosSin(float v, float* cosine, float* sine) {
  // Truncation is right for v ≥ 0 and vectorises.
  // NOLINTNEXTLINE(bugprone-incorrect-roundings)
  const int32_t quarter = static_cast<int32_t>(v * 4.0F + 0.5F);
  const float x =
      (v * 4.0F - static_cast<float>(quarter)) * 1.57079632679489662F;  // in [-π/4, π/4]
  const float x2 = x * x;
  const float c =
      1.0F + x2 * (-1.0F / 2 + x2 * (1.0F / 24 + x2 * (-1.0F / 720 + x2 * (1.0F / 40320))));
  const float s =
      x *
      (1.0F + x2 * (-1.0F / 6 + x2 * (1.0F / 120 + x2 * (-1.0F / 5040 + x2 * (1.0F / 362880)))));
  const bool swap = (quarter & 1) != 0;
  const float a = swap ? s : c;
  const float b = swap ? c : s;
  *cosine = ((quarter + 1) & 2) != 0 ? -a : a;
  *sine = (quarter & 2) != 0 ? -b : b;
}

/** Maps a random word to a number in (0, 1). */
inline float unit(uint32_t word) {
  return (static_cast<float>(static_cast<int32_t>(word >> 1)) + 0.5F) * 0x1p-31F;
}

/** Writes the four normal numbers of each counter in [block, block + kBlock). */
void normalBlock(float* to, uint64_t block, uint64_t seed, uint32_t stream, float scale) {
  alignas(64) uint32_t words[4][kBlock];
  alignas(64) float normal[4][kBlock];
  for (int i = 0; i < kBlock; ++i) {
    const uint64_t counter = block + static_cast<uint64_t>(i);
    uint32_t state[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                         stream, 0};
    philox(state, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    for (int k = 0; k < 4; ++k) words[k][i] = state[k];
  }
  for (int k = 0; k < 4; k += 2) {
    for (int i = 0; i < kBlock; ++i) {
      const float radius = std::sqrt(-2.0F * logarithm(unit(words[k][i]))) * scale;
      float cosine = 0;
      float sine = 0;
      cosSin(unit(words[k + 1][i]), &cosine, &sine);
      normal[k][i] = radius * cosine;
      normal[k + 1][i] = radius * sine;
    }
  }
  for (int i = 0; i < kBlock; ++i) {
    for (int k = 0; k < 4; ++k) to[i * 4 + k] = normal[k][i];
  }
}

}  // namespace

void philox(uint32_t counter[4], uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    const auto high0 = static_cast<uint32_t>(product0 >> 32);
    const auto high1 = static_cast<uint32_t>(product1 >> 32);
    counter[0] = high1 ^ counter[1] ^ key0;
    counter[1] = static_cast<uint32_t>(product1);
    counter[2] = high0 ^ counter[3] ^ key1;
    counter[3] = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

void fillNormal(float* to, size_t first, size_t count, uint64_t seed, uint32_t stream,
                float scale) {
  constexpr size_t perBlock = size_t{4} * kBlock;
  float numbers[perBlock];
  for (size_t at = first; at < first + count;) {
    const size_t counter = at / 4;
    const size_t skip = at % 4;
    normalBlock(numbers, counter, seed, stream, scale);
    const size_t taken = std::min(perBlock - skip, first + count - at);
    std::copy_n(numbers + skip, taken, to + (at - first));
    at += taken;
  }
}

}  // namespace vgg
