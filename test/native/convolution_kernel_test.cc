// Compares the convolution with warpgroups (compute capability 9.0) with plain loops.
#include <algorithm>
#include <cmath>

#include "kernels_test.h"

namespace test {
namespace {

struct Shape {
  int n, h, w, parts, k, relu;
};

template <typename T>
void check(const Shape& s, bool pooled) {
  const std::string name = std::string(pooled ? "convolution_pool" : "convolution_flat");
  const emulate::Kernel& kernel =
      find<T>("convolution.cu", (name + std::to_string(s.parts)).c_str());
  const int c = s.parts * geometry::kConvolutionChannels;
  Buffer<T> x(at(s.n * s.h * s.w * c), Memory::kInput);
  Buffer<T> filter(at(s.k * 9 * c), Memory::kParameter);
  Buffer<float> bias(at(s.k), Memory::kParameter);
  fill(x);
  fill(filter, 0.1);
  fill(bias);
  x[x.size() / 2] = Type<T>::encode(NAN);
  const int oh = pooled ? s.h / 2 : s.h;
  const int ow = pooled ? s.w / 2 : s.w;
  Buffer<T> y(at(s.n * oh * ow * s.k));
  const T* from = x.data();
  const T* filters = filter.data();
  const float* terms = bias.data();
  T* to = y.data();
  int h = s.h;
  int w = s.w;
  int k = s.k;
  int relu = s.relu;
  void* parameters[] = {&from, &filters, &terms, &to, &h, &w, &k, &relu};
  kernel.launch({static_cast<unsigned>(geometry::convolutionTilesAcross(s.w) * s.parts),
                 static_cast<unsigned>(s.k / geometry::kConvolutionFilters),
                 static_cast<unsigned>(geometry::convolutionTilesDown(s.h) * s.n)},
                {geometry::kThreads, 1, 1}, geometry::kConvolutionSharedBytes, parameters,
                static_cast<unsigned>(s.parts));

  // Convert to double once, because the loops below read each number hundreds of times.
  std::vector<double> pixels(x.size());
  std::vector<double> taps(filter.size());
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = Type<T>::decode(x[i]);
  for (size_t i = 0; i < taps.size(); ++i) taps[i] = Type<T>::decode(filter[i]);
  const auto convolve = [&](int image, int row, int column, int f, double& size) {
    double sum = bias[at(f)];
    for (int tap = 0; tap < 9; ++tap) {
      const int r = row + tap / 3 - 1;
      const int q = column + tap % 3 - 1;
      if (r < 0 || r >= s.h || q < 0 || q >= s.w) continue;
      const double* pixel = &pixels[at(((image * s.h + r) * s.w + q) * c)];
      const double* weights = &taps[at((f * 9 + tap) * c)];
      for (int i = 0; i < c; ++i) {
        sum += pixel[i] * weights[i];
        size += std::abs(pixel[i] * weights[i]);
      }
    }
    return sum;
  };
  Comparison compare;
  for (int i = 0; i < s.n * oh * ow * s.k; ++i) {
    // Check every channel of some pixels and some channels of every pixel.
    if (i / s.k % 7 != 0 && i % s.k % 11 != 0) continue;
    const int f = i % s.k;
    const int column = i / s.k % ow;
    const int row = i / s.k / ow % oh;
    const int image = i / s.k / ow / oh;
    double size = std::abs(bias[at(f)]);
    double v = -INFINITY;
    for (int q = 0; q < (pooled ? 4 : 1); ++q) {
      const double sum = pooled ? convolve(image, 2 * row + q / 2, 2 * column + q % 2, f, size)
                                : convolve(image, row, column, f, size);
      if (sum > v || std::isnan(sum)) v = sum;
    }
    if (s.relu != 0 && v < 0) v = 0;
    compare.add(y[at(i)], v, std::isnan(size) ? 0 : size * 0x1p-21);
  }
  compare.report(std::string(kernel.name) + " " + std::to_string(s.h) + "×" + std::to_string(s.w) +
                 ", " + std::to_string(c) + " to " + std::to_string(s.k) + " channels");
}

}  // namespace

void checkConvolution() {
  const auto checkType = [](auto type) {
    using T = decltype(type);
    for (const bool pooled : {false, true}) {
      check<T>({1, 14, 14, 4, 128, 1}, pooled);
      check<T>({2, 8, 16, 1, 192, 0}, pooled);
      check<T>({1, 6, 22, 2, 64, 1}, pooled);
      check<T>({3, 10, 18, 8, 64, 1}, pooled);
      check<T>({1, 2, 2, 2, 128, 0}, pooled);
    }
    check<T>({1, 9, 17, 1, 128, 1}, false);
    check<T>({1, 1, 1, 2, 64, 0}, false);
  };
  checkType(Half{});
  checkType(Bfloat{});
}

}  // namespace test
