// Compares every kernel of native/cuda/kernels, run by the emulator, with plain loops that sum in
// double.
#include "kernels_test.h"

#include <algorithm>

namespace test {
namespace {

using geometry::blocksFor;

template <typename T>
void checkLayout(int n, int channels, int pixels, bool normalized) {
  const int padded = roundUp(channels, kVector<T>);
  Buffer<float> x(at(n) * at(channels) * at(pixels), Memory::kInput);
  Buffer<float> scale(at(channels), Memory::kParameter);
  Buffer<float> shift(at(channels), Memory::kParameter);
  fill(x);
  fill(scale);
  fill(shift);
  Buffer<T> y(at(n) * at(pixels) * at(padded));
  const float* factors = normalized ? scale.data() : nullptr;
  launch(find<T>("layout.cu", "toChannelsLast"), geometry::transposeBlocks(n, pixels),
         geometry::transposeSlices(padded), static_cast<const float*>(x.data()), y.data(), factors,
         static_cast<const float*>(shift.data()), n, channels, padded, pixels);
  Comparison last;
  for (int i = 0; i < n * pixels * padded; ++i) {
    const int c = i % padded;
    const int p = i / padded % pixels;
    double want = 0;
    if (c < channels) {
      want = x[at((i / padded / pixels * channels + c) * pixels + p)];
      if (normalized) want = want * scale[at(c)] + shift[at(c)];
    }
    // Multiplication and addition may be rounded separately.
    last.add(y[at(i)], want, c < channels && normalized ? 0x1p-21 : 0);
  }
  const std::string shape = std::string(Type<T>::kName) + " " + std::to_string(n) + "×" +
                            std::to_string(channels) + "×" + std::to_string(pixels);
  last.report("toChannelsLast " + shape);

  Buffer<float> back(x.size());
  launch(find<T>("layout.cu", "toChannelsFirst"), geometry::transposeBlocks(n, pixels),
         geometry::transposeSlices(channels), static_cast<const T*>(y.data()), back.data(), n,
         channels, padded, pixels);
  Comparison first;
  for (int i = 0; i < n * channels * pixels; ++i) {
    const int c = i / pixels % channels;
    const int row = i / pixels / channels * pixels + i % pixels;
    first.add(back[at(i)], Type<T>::decode(y[at(row * padded + c)]));
  }
  first.report("toChannelsFirst " + shape);

  Buffer<unsigned char> bytes(at(n) * at(pixels) * at(channels), Memory::kInput);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(generator()());
  Buffer<T> z(y.size());
  const long long all = static_cast<long long>(n) * pixels;
  launch(find<T>("layout.cu", "normalizeBytes"), blocksFor(all * padded / kVector<T>), 1,
         static_cast<const unsigned char*>(bytes.data()), z.data(), factors,
         static_cast<const float*>(shift.data()), all, channels, padded);
  Comparison fromBytes;
  for (int i = 0; i < n * pixels * padded; ++i) {
    const int c = i % padded;
    double want = 0;
    if (c < channels) want = bytes[at(i / padded * channels + c)];
    if (c < channels && normalized) want = want * scale[at(c)] + shift[at(c)];
    fromBytes.add(z[at(i)], want, std::abs(want) * 0x1p-22 + (want == 0 ? 0 : 0x1p-15));
  }
  fromBytes.report("normalizeBytes " + shape);
}

template <typename T>
void checkAffine(int pixels, int channels, bool scaled, bool shifted, int relu) {
  Buffer<T> x(at(pixels) * at(channels), Memory::kInput);
  Buffer<float> scale(at(channels), Memory::kParameter);
  Buffer<float> shift(at(channels), Memory::kParameter);
  fill(x);
  fill(scale);
  fill(shift);
  x[1] = Type<T>::encode(NAN);
  Buffer<T> y(x.size());
  const long long vectors = static_cast<long long>(x.size()) / kVector<T>;
  launch(find<T>("pointwise.cu", "affine"), blocksFor(vectors), 1, static_cast<const T*>(x.data()),
         static_cast<const float*>(scaled ? scale.data() : nullptr),
         static_cast<const float*>(shifted ? shift.data() : nullptr), y.data(), vectors, channels,
         relu);
  Comparison compare;
  for (size_t i = 0; i < x.size(); ++i) {
    double want = Type<T>::decode(x[i]);
    if (scaled) want *= scale[i % at(channels)];
    if (shifted) want += shift[i % at(channels)];
    compare.add(y[i], rectified(want, relu), 0x1p-21);
  }
  compare.report(std::string("affine ") + Type<T>::kName);
}

struct Pool {
  int n, h, w, channels, size, stride, padding;
  bool biased;
  int relu;
};

template <typename T>
void checkPool(const Pool& p) {
  const int c = roundUp(p.channels, kVector<T>);
  const int oh = (p.h + 2 * p.padding - p.size) / p.stride + 1;
  const int ow = (p.w + 2 * p.padding - p.size) / p.stride + 1;
  Buffer<T> x(at(p.n * p.h * p.w * c), Memory::kInput);
  Buffer<float> bias(at(c), Memory::kParameter);
  fillPadded(x, p.channels, c);
  fillPadded(bias, p.channels, c);
  x[at(c)] = Type<T>::encode(NAN);
  Buffer<T> y(at(p.n * oh * ow * c));
  launch(find<T>("pool.cu", "maxPool2d"), blocksFor(static_cast<long long>(y.size()) / kVector<T>),
         1, static_cast<const T*>(x.data()),
         static_cast<const float*>(p.biased ? bias.data() : nullptr), y.data(), p.n, p.h, p.w, c,
         oh, ow, p.size, p.stride, p.padding, p.relu);
  Comparison compare;
  for (int i = 0; i < p.n * oh * ow * c; ++i) {
    const int channel = i % c;
    const int left = i / c % ow * p.stride - p.padding;
    const int top = i / c / ow % oh * p.stride - p.padding;
    double best = -INFINITY;
    for (int r = std::max(top, 0); r < std::min(top + p.size, p.h); ++r) {
      for (int s = std::max(left, 0); s < std::min(left + p.size, p.w); ++s) {
        const double v =
            Type<T>::decode(x[at(((i / c / ow / oh * p.h + r) * p.w + s) * c + channel)]);
        if (v > best || std::isnan(v)) best = v;
      }
    }
    if (p.biased) best += bias[at(channel)];
    compare.add(y[at(i)], rectified(best, p.relu), p.biased ? 0x1p-21 : 0);
  }
  compare.report(std::string("maxPool2d ") + Type<T>::kName + " size " + std::to_string(p.size));

  // Bins that overlap, that repeat pixels, and that are single pixels.
  for (const int bins : {1, 3, p.h, p.h + 2}) {
    Buffer<T> mean(at(p.n * bins * 7 * c));
    launch(find<T>("pool.cu", "adaptiveAvgPool2d"),
           blocksFor(static_cast<long long>(mean.size()) / kVector<T>), 1,
           static_cast<const T*>(x.data()), mean.data(), p.n, p.h, p.w, c, bins, 7);
    Comparison means;
    for (int i = 0; i < p.n * bins * 7 * c; ++i) {
      const int column = i / c % 7;
      const int row = i / c / 7 % bins;
      double sum = 0;
      int count = 0;
      for (int r = row * p.h / bins; r < std::ceil((row + 1.0) * p.h / bins); ++r) {
        for (int s = column * p.w / 7; s < std::ceil((column + 1.0) * p.w / 7); ++s, ++count) {
          sum += Type<T>::decode(x[at(((i / c / 7 / bins * p.h + r) * p.w + s) * c + i % c)]);
        }
      }
      means.add(mean[at(i)], sum / count, 0x1p-19);
    }
    means.report(std::string("adaptiveAvgPool2d ") + Type<T>::kName);
  }
}

void checkDigits() {
  bool ok = true;
  for (const long long index : {0LL, 41LL, 0xffffffffLL, 0x100000000LL, 1LL << 45}) {
    for (const int count : {1, 7, 1 << 30}) {
      long long rest = index;
      const int digit = takeDigit(rest, count);
      ok &= rest == index / count && digit == index % count;
    }
  }
  expect(ok, "takeDigit divides beyond 32 bits");
}

void checkEverything() {
  checkDigits();
  forEachType([]<typename T>(T) {
    for (const bool normalized : {false, true}) {
      checkLayout<T>(2, 3, 246, normalized);
      checkLayout<T>(3, 37, 100, normalized);
      checkLayout<T>(1, 513, 7, normalized);
      checkLayout<T>(5, 1, 1, normalized);
    }
    checkAffine<T>(301, 24, true, true, 1);
    checkAffine<T>(1, 8, true, false, 0);
    checkAffine<T>(77, 520, false, true, 1);
    checkAffine<T>(5, 8, false, false, 1);
    checkPool<T>({2, 12, 9, 20, 2, 2, 0, true, 1});
    checkPool<T>({1, 7, 8, 8, 2, 2, 0, false, 0});
    checkPool<T>({2, 11, 13, 5, 3, 2, 1, true, 0});
    checkPool<T>({1, 9, 9, 64, 5, 1, 2, false, 1});
  });
}

}  // namespace
}  // namespace test

int main() {
  emulate::accessHook = &test::allowedWindow;
  emulate::constantHook = &test::isParameter;
  test::checkEverything();
  test::checkRows();
  test::checkPacking();
  test::checkFirstLayer();
  test::checkConvolution();
  test::checkFaults();
  std::printf("%d passed, %d failed\n", test::passed, test::failed);
  return test::failed == 0 ? 0 : 1;
}
