// Shows that the emulator detects faults: in kernels that are compiled again with a planted fault,
// and in misuse of the block's and the warp's operations.
#include <atomic>

#include "kernels_test.h"

// Kernels without the barrier.
namespace missingBarrier {
#define __syncthreads() static_cast<void>(0)
#include "cuda/kernels/layout.cu"
#undef __syncthreads
}  // namespace missingBarrier

// Shifts every thread index by one.
namespace offByOne {
#define threadIndex() (threadIndex() + 1)
#include "cuda/kernels/pointwise.cu"
#undef threadIndex
}  // namespace offByOne

// Shifts every loaded element by one, the last one beyond the end.
namespace loadsNext {
#define load(from) load((from) + 1)
#include "cuda/kernels/layout.cu"
#undef load
}  // namespace loadsNext

// Swaps the upper and lower rows of a tensor-core operand in its first half.
namespace wrongRow {
template <typename T>
void exchangedRows(T type, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  multiply16x8x16(type, d, {a[1], a[0], a[2], a[3]}, b0, b1);
}
#define multiply16x8x16 exchangedRows
#include "cuda/kernels/first_layer.cu"
#undef multiply16x8x16
}  // namespace wrongRow

// Kernels without the wait for earlier kernels.
namespace noWait {
#define waitForPrevious() static_cast<void>(0)
#include "cuda/kernels/first_layer.cu"
#include "cuda/kernels/layout.cu"
#include "cuda/kernels/pointwise.cu"
#undef waitForPrevious
}  // namespace noWait

// Kernels that wait only before they store, and read x before they wait.
namespace lateWait {
#define waitForPrevious() static_cast<void>(0)
#define store(...) ((::waitForPrevious)(), ::store(__VA_ARGS__))
#include "cuda/kernels/first_layer.cu"
#include "cuda/kernels/layout.cu"
#include "cuda/kernels/pointwise.cu"
#undef store
#undef waitForPrevious
}  // namespace lateWait

// The same text without a fault, to show that the test itself is correct.
namespace sound {
#include "cuda/kernels/first_layer.cu"
#include "cuda/kernels/layout.cu"
#include "cuda/kernels/pointwise.cu"
}  // namespace sound

namespace test {
namespace {

using emulate::Fault;
using emulate::Kernel;
using emulate::makeKernel;

template <auto kFunction>
Kernel kernel(bool usesBarriers) {
  return makeKernel<kFunction>("", "a test's kernel", usesBarriers, geometry::kThreads);
}

bool transposes(const Kernel& toChannelsLast) {
  const int n = 2, channels = 40, pixels = 100;
  Buffer<float> x(at(n * channels * pixels), Memory::kInput);
  Buffer<float> y(x.size());
  fill(x);
  launch(toChannelsLast, geometry::transposeBlocks(n, pixels), geometry::transposeSlices(channels),
         static_cast<const float*>(x.data()), y.data(), static_cast<const float*>(nullptr),
         static_cast<const float*>(nullptr), n, channels, channels, pixels);
  Comparison compare;
  for (int i = 0; i < n * channels * pixels; ++i) {
    const int p = i / channels % pixels;
    compare.add(y[at(i)], x[at((i / channels / pixels * channels + i % channels) * pixels + p)]);
  }
  return compare.ok();
}

bool copies(const Kernel& affine) {
  Buffer<float> x(4096, Memory::kInput);
  Buffer<float> y(x.size());
  fill(x);
  launch(affine, 4, 1, static_cast<const float*>(x.data()), static_cast<const float*>(nullptr),
         static_cast<const float*>(nullptr), y.data(), 1024LL, 8, 0);
  Comparison compare;
  for (size_t i = 0; i < x.size(); ++i) compare.add(y[i], x[i]);
  return compare.ok();
}

// Uses a filter that copies the upper left neighbour's first channel, so that every pixel counts.
bool shifts(const Kernel& firstLayer) {
  const int h = 16, w = 32, k = 16;
  Buffer<float> x(at(3 * h * w), Memory::kInput);
  Buffer<Half> filter(at(k * 32), Memory::kParameter);
  Buffer<float> bias(at(k), Memory::kParameter);
  Buffer<Half> y(at(h * w * k));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 2039);
  std::memset(static_cast<void*>(filter.data()), 0, filter.size() * sizeof(Half));
  std::memset(bias.data(), 0, bias.size() * sizeof(float));
  for (int i = 0; i < k; ++i) filter[at(i * 32)] = Type<Half>::encode(1);
  launch(firstLayer, geometry::firstLayerTiles(1, h, w), 1, static_cast<const void*>(x.data()),
         static_cast<const Half*>(filter.data()), static_cast<const float*>(bias.data()),
         static_cast<const float*>(nullptr), static_cast<const float*>(nullptr), y.data(), 1, h, w,
         k, 0);
  Comparison compare;
  for (int i = 0; i < h * w * k; ++i) {
    const int row = i / k / w;
    const int column = i / k % w;
    compare.add(y[at(i)], row && column ? x[at((row - 1) * w + column - 1)] : 0);
  }
  return compare.ok();
}

template <typename Body>
bool throws(Fault fault, const Body& body) {
  try {
    body();
  } catch (const emulate::LaunchError& error) {
    return error.fault == fault;
  }
  return false;
}

void halfBarrier(float*) {
  if (threadIdx.x < 64) __syncthreads();
}
void splitBarrier(float*) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncwarp();
    if (threadIdx.x % 32 == 0) __syncwarp();
  }
}
void halfShuffle(float* y) {
  waitForPrevious();
  if (threadIdx.x % 32 < 16) store(y + threadIdx.x, __shfl_xor_sync(~0U, 1.0F, 1));
}
void mixedWarp(float*) {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __shfl_xor_sync(~0U, 1.0F, 1);
  }
}
void misaligned(float* y) {
  waitForPrevious();
  store(reinterpret_cast<uint4*>(y + 1), uint4{});
}
// One thread stores without waiting. The others wait.
void storesEarly(float* y) {
  if (threadIdx.x != 100) waitForPrevious();
  __syncthreads();
  store(y + threadIdx.x, 1.0F);
}
void votes(float* y) {
  waitForPrevious();
  const int lane = static_cast<int>(threadIdx.x % 32);
  const unsigned odd = __ballot_sync(~0U, lane % 2);
  const bool right = odd == 0xaaaaaaaa && __any_sync(~0U, lane == 3) && !__all_sync(~0U, lane) &&
                     __shfl_sync(~0U, lane, 5) == 5 &&
                     __shfl_down_sync(~0U, lane, 2U) == (lane < 30 ? lane + 2 : lane) &&
                     __shfl_up_sync(~0U, lane, 1U) == (lane > 0 ? lane - 1 : 0);
  store(y + threadIdx.x, right ? 1.0F : 0.0F);
}
// d (16, 8) = a (16, 8) b (8, 8) with b in columns, the product of GPUs before sm_80.
void oneProduct(const unsigned* a, const unsigned* b, float* d) {
  waitForPrevious();
  const unsigned g = threadIdx.x / 4;
  const unsigned t = threadIdx.x % 4;
  float sums[4] = {};
  multiply16x8x8(sums, load(a + g * 4 + t), load(a + (g + 8) * 4 + t), load(b + g * 4 + t));
  for (unsigned i = 0; i < 4; ++i) store(d + (g + i / 2 * 8) * 8 + 2 * t + i % 2, sums[i]);
}

/** Other memory is freed during the first accesses, which is not a fault of the kernel. */
void checkFreedMeanwhile() {
  static std::atomic<int> left;
  left = 3;
  const auto hook = emulate::accessHook;
  emulate::accessHook = [](const void* address, size_t bytes, bool write) {
    emulate::Window* window = allowedWindow(address, bytes, write);
    if (left-- > 0) ++emulate::windowGeneration;
    return window;
  };
  bool isRight = false;
  try {
    isRight = copies(kernel<&sound::affine_f32>(false));
  } catch (const emulate::LaunchError&) {
  }
  emulate::accessHook = hook;
  expect(isRight, "memory that a running kernel does not use may be freed");
}

void checkProduct() {
  Buffer<Half> a(128, Memory::kInput);
  Buffer<Half> b(64, Memory::kInput);
  Buffer<float> d(128);
  fill(a);
  fill(b);
  const unsigned* words[] = {reinterpret_cast<const unsigned*>(a.data()),
                             reinterpret_cast<const unsigned*>(b.data())};
  float* out = d.data();
  void* parameters[] = {&words[0], &words[1], &out};
  kernel<&oneProduct>(true).launch({1, 1, 1}, {32, 1, 1}, 0, parameters);
  Comparison compare;
  for (size_t i = 0; i < 128; ++i) {
    double sum = 0;
    for (size_t k = 0; k < 8; ++k) {
      sum += Type<Half>::decode(a[i / 8 * 8 + k]) * Type<Half>::decode(b[i % 8 * 8 + k]);
    }
    compare.add(d[i], sum, 0x1p-20);
  }
  compare.report("multiply16x8x8");
}

}  // namespace

void checkFaults() {
  expect(transposes(kernel<&sound::toChannelsLast_f32>(true)), "the sound kernel transposes");
  expect(copies(kernel<&sound::affine_f32>(false)), "the sound kernel copies");
  expect(shifts(kernel<&sound::firstLayer_floats_flat_f16>(true)), "the sound kernel shifts");

  expect(!transposes(kernel<&missingBarrier::toChannelsLast_f32>(true)),
         "a missing barrier causes wrong values");
  expect(!copies(kernel<&offByOne::affine_f32>(false)), "an index off by one causes wrong values");
  expect(
      throws(Fault::kOutOfRange, [] { transposes(kernel<&loadsNext::toChannelsLast_f32>(true)); }),
      "a load past the end is caught");
  expect(!shifts(kernel<&wrongRow::firstLayer_floats_flat_f16>(true)),
         "a wrong row of a fragment causes wrong values");

  const auto isEarly = [](const auto& test, const Kernel& k) {
    return throws(Fault::kEarly, [&] { test(k); });
  };
  expect(isEarly(transposes, kernel<&noWait::toChannelsLast_f32>(true)) &&
             isEarly(copies, kernel<&noWait::affine_f32>(false)) &&
             isEarly(shifts, kernel<&noWait::firstLayer_floats_flat_f16>(true)),
         "a kernel that does not wait for earlier kernels is caught");
  expect(isEarly(transposes, kernel<&lateWait::toChannelsLast_f32>(true)) &&
             isEarly(copies, kernel<&lateWait::affine_f32>(false)) &&
             isEarly(shifts, kernel<&lateWait::firstLayer_floats_flat_f16>(true)),
         "a kernel that reads x before it waits is caught");

  Buffer<float> y(1024);
  expect(isEarly([&](const Kernel& k) { launch(k, 1, 1, y.data()); }, kernel<&storesEarly>(true)),
         "a store before the wait is caught, even if the other threads wait");
  const auto run = [&](const Kernel& k) { launch(k, 2, 1, y.data()); };
  expect(throws(Fault::kBarrier, [&] { run(kernel<&halfBarrier>(true)); }),
         "a barrier that some threads do not reach is caught");
  expect(throws(Fault::kBarrier, [&] { run(kernel<&splitBarrier>(true)); }),
         "threads that wait at different barriers are caught");
  expect(throws(Fault::kBarrier, [&] { run(kernel<&halfShuffle>(true)); }),
         "a shuffle by half a warp is caught");
  expect(throws(Fault::kBarrier, [&] { run(kernel<&mixedWarp>(true)); }),
         "different operations in one warp are caught");
  expect(throws(Fault::kBarrier, [&] { run(kernel<&halfBarrier>(false)); }),
         "a barrier in a kernel listed without barriers is caught");
  expect(throws(Fault::kMisaligned, [&] { run(kernel<&misaligned>(false)); }),
         "a misaligned store is caught");
  expect(throws(Fault::kConfiguration, [&] { launch(kernel<&votes>(true), 0, 1, y.data()); }),
         "an empty grid is refused");
  Buffer<float> constant(1024, Memory::kInput);
  expect(throws(Fault::kOutOfRange, [&] { launch(kernel<&votes>(true), 1, 1, constant.data()); }),
         "a store to constant memory is caught");
  run(kernel<&votes>(true));
  bool right = true;
  for (size_t i = 0; i < geometry::kThreads; ++i) right &= y[i] == 1;
  expect(right, "votes and shuffles");
  checkFreedMeanwhile();
  checkProduct();
}

}  // namespace test
