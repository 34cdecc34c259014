#include "cpu/roofline.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/memory/available_memory.h"
#include "core/memory/host_memory.h"

namespace vgg::cpu {
namespace {

constexpr int kTries = 8;
constexpr int kChains = 12;  // more than any core's latency times its ports, fewer than registers
constexpr size_t kRounds = 100'000;
constexpr size_t kReadBytes = size_t{512} << 20;
constexpr size_t kMinReadBytes = size_t{64} << 20;
constexpr size_t kBlockFloats = size_t{1} << 18;

template <int kBytes>
struct Vector {
  using Type [[gnu::vector_size(kBytes)]] = float;
};

/** Runs independent chains of x ← x · factor + term. `seed` holds factor and term, so that the
 * compiler does not know them. */
template <int kBytes>
[[gnu::always_inline]] inline void multiplyAdd(const float* seed, float* result) {
  using V = typename Vector<kBytes>::Type;
  const V factor = V{} + seed[0];
  const V term = V{} + seed[1];
  V sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = term + static_cast<float>(i);
  for (size_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
  }
  V sum = sums[0];
  for (int i = 1; i < kChains; ++i) sum += sums[i];
  *result = sum[0];
}

/** Sums a block, in enough chains to keep the memory busy. */
template <int kBytes>
[[gnu::always_inline]] inline void readAll(const float* from, float* result) {
  using V = typename Vector<kBytes>::Type;
  constexpr size_t kLanes = kBytes / sizeof(float);
  V sums[8] = {};
  for (size_t i = 0; i < kBlockFloats; i += 8 * kLanes) {
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) sums[k] += *reinterpret_cast<const V*>(from + i + k * kLanes);
  }
  V sum = sums[0];
  for (int k = 1; k < 8; ++k) sum += sums[k];
  *result = sum[0];
}

struct Loops {
  size_t lanes;
  void (*multiplyAdd)(const float*, float*);
  void (*readAll)(const float*, float*);
};

void multiplyAddPortable(const float* seed, float* result) { multiplyAdd<16>(seed, result); }
void readAllPortable(const float* from, float* result) { readAll<16>(from, result); }
#ifdef VGG_X86
[[gnu::target("avx2,fma")]] void multiplyAddAvx2(const float* seed, float* result) {
  multiplyAdd<32>(seed, result);
}
[[gnu::target("avx2,fma")]] void readAllAvx2(const float* from, float* result) {
  readAll<32>(from, result);
}
[[gnu::target("avx512f")]] void multiplyAddAvx512(const float* seed, float* result) {
  multiplyAdd<64>(seed, result);
}
[[gnu::target("avx512f")]] void readAllAvx512(const float* from, float* result) {
  readAll<64>(from, result);
}
#endif

Loops loopsOf([[maybe_unused]] std::string_view instructionSet) {
#ifdef VGG_X86
  if (instructionSet == "avx512") return {16, multiplyAddAvx512, readAllAvx512};
  if (instructionSet == "avx2") return {8, multiplyAddAvx2, readAllAvx2};
#endif
  return {4, multiplyAddPortable, readAllPortable};
}

template <typename Work>
double bestSeconds(const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTries; ++i) {
    const Clock::time_point start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

double flopsPerSecond(ThreadPool& pool, const Loops& loops) {
  const float seed[2] = {0.5F, 1.0F};  // the chains converge to 2: no number is denormal
  const size_t blocks = 8 * static_cast<size_t>(pool.threads());
  std::vector<float> results(blocks);
  const double seconds = bestSeconds(
      [&] { pool.run(blocks, [&](size_t block) { loops.multiplyAdd(seed, &results[block]); }); });
  return 2.0 * static_cast<double>(blocks * kRounds * kChains * loops.lanes) / seconds;
}

double bytesPerSecond(ThreadPool& pool, const Loops& loops) {
  // Read at most half of the free memory: the measurement must not make the machine run out of
  // memory.
  const size_t bytes = std::min(kReadBytes, availableHostBytes() / 2) & ~(4 * kBlockFloats - 1);
  if (bytes < kMinReadBytes) return 0;
  const std::shared_ptr<HostMemory> memory = HostMemory::allocate(bytes);
  const size_t blocks = bytes / sizeof(float) / kBlockFloats;
  std::vector<float> results(blocks);
  pool.run(blocks, [&](size_t block) {
    std::fill_n(memory->floats() + block * kBlockFloats, kBlockFloats, 1.0F);
  });
  const double seconds = bestSeconds([&] {
    pool.run(blocks, [&](size_t block) {
      loops.readAll(memory->floats() + block * kBlockFloats, &results[block]);
    });
  });
  return static_cast<double>(bytes) / seconds;
}

}  // namespace

Roofline measureRoofline(ThreadPool& pool, std::string_view instructionSet) {
  const Loops loops = loopsOf(instructionSet);
  Roofline roofline;
  roofline.flopsPerSecond = flopsPerSecond(pool, loops);
  try {
    roofline.bytesPerSecond = bytesPerSecond(pool, loops);
  } catch (const Error& error) {
    if (error.code() != Code::kOutOfMemory) throw;
  }
  return roofline;
}

}  // namespace vgg::cpu
