// Compares the fused first layer and the packing of its filter with plain loops.
#include <cmath>

#include "kernels_test.h"

namespace test {
namespace {

// Rounds as tensor cores read: to 11 significant bits, ties away from zero.
float toTf32(double v) {
  if (v == 0) return 0;
  int exponent;
  const double fraction = std::frexp(v, &exponent);
  return static_cast<float>(std::ldexp(std::round(fraction * 2048), exponent - 11));
}
template <typename T>
double asOperand(double v) {
  if constexpr (sizeof(T) == 4) {
    return toTf32(v);
  } else {
    return Type<T>::decode(Type<T>::encode(v));
  }
}

struct Shape {
  int n, h, w, k;
  bool normalized;
  int relu;
};

template <typename T, typename Pixel>
void checkForm(const Shape& s, bool pooled) {
  constexpr bool kBytes = sizeof(Pixel) == 1;
  const std::string suffix = sizeof(T) == 4 ? "tf32" : Type<T>::kName;
  Buffer<Pixel> x(at(s.n * s.h * s.w * 3), Memory::kInput);
  for (size_t i = 0; i < x.size(); ++i) {
    // Few bits make normalising exact, so that the operands are known.
    x[i] = static_cast<Pixel>(generator()() % 256);
    if constexpr (!kBytes) x[i] = s.normalized ? x[i] : (x[i] * 1000 + 77) / 131072;
  }
  if constexpr (!kBytes) x[x.size() / 2] = NAN;
  Buffer<float> weight(at(s.k * 27), Memory::kParameter);
  Buffer<float> factors(at(s.k), Memory::kParameter);
  Buffer<float> bias(at(s.k), Memory::kParameter);
  fill(weight, 0.2);
  fill(factors);
  fill(bias);
  Buffer<float> scale(3, Memory::kParameter);
  Buffer<float> shift(3, Memory::kParameter);
  for (size_t c = 0; c < 3; ++c) {
    scale[c] = static_cast<float>(c + 3) / 256;
    shift[c] = -static_cast<float>(c + 5) / 8;
  }
  Buffer<T> filter(at(s.k * geometry::kFirstLayerRow));
  const emulate::Kernel* pack = emulate::findKernel("pack.cu", "packFirstFilter_" + suffix);
  const emulate::Kernel* layer = emulate::findKernel(
      "first_layer.cu", std::string("firstLayer_") + (kBytes ? "bytes_" : "floats_") +
                            (pooled ? "pool_" : "flat_") + suffix);
  launch(*pack, geometry::blocksFor(static_cast<long long>(filter.size()) / kVector<T>), 1,
         static_cast<const float*>(weight.data()), static_cast<const float*>(factors.data()),
         filter.data(), s.k);
  Comparison packed;
  int entries[geometry::kFirstLayerTaps] = {};
  for (int i = 0; i < s.k * 32; ++i) {
    const int tap = tapOf<T>(i % 32 / kLaneElements, i % 32 % kLaneElements);
    if (tap >= 0) entries[at(tap)] = i % 32;
    const float product =
        tap >= 0 ? weight[at(i / 32 * 27 + tap % 3 * 9 + tap / 3)] * factors[at(i / 32)] : 0;
    packed.add(filter[at(i)], asOperand<T>(product));
  }
  packed.report("packFirstFilter_" + suffix);
  filter.become(Memory::kParameter);

  const int oh = pooled ? s.h / 2 : s.h;
  const int ow = pooled ? s.w / 2 : s.w;
  Buffer<T> y(at(s.n * oh * ow * s.k));
  // Use fewer blocks than tiles if there are several tiles.
  launch(*layer, geometry::firstLayerBlocks(geometry::firstLayerTiles(s.n, s.h, s.w), 1),
         geometry::firstLayerSlices(s.k), static_cast<const void*>(x.data()),
         static_cast<const T*>(filter.data()), static_cast<const float*>(bias.data()),
         static_cast<const float*>(s.normalized ? scale.data() : nullptr),
         static_cast<const float*>(shift.data()), y.data(), s.n, s.h, s.w, s.k, s.relu);
  if (y.size() == 0) {
    expect(true, "nothing to make");
    return;
  }

  const auto pixel = [&](int image, int row, int column, int c) -> double {
    if (row < 0 || row >= s.h || column < 0 || column >= s.w) return 0;
    const double v = kBytes ? x[at(((image * s.h + row) * s.w + column) * 3 + c)]
                            : x[at(((image * 3 + c) * s.h + row) * s.w + column)];
    return asOperand<T>(s.normalized ? v * scale[at(c)] + shift[at(c)] : v);
  };
  const auto convolve = [&](int image, int row, int column, int k, double& size) {
    double sum = 0;
    for (int i = 0; i < 27; ++i) {
      const double product = pixel(image, row + i / 9 - 1, column + i / 3 % 3 - 1, i % 3) *
                             Type<T>::decode(filter[at(k * 32 + entries[i])]);
      sum += product;
      size += std::abs(product);
    }
    return sum;
  };
  Comparison compare;
  for (int i = 0; i < s.n * oh * ow * s.k; ++i) {
    const int k = i % s.k;
    const int column = i / s.k % ow;
    const int row = i / s.k / ow % oh;
    const int image = i / s.k / ow / oh;
    double size = std::abs(bias[at(k)]);
    double v = -INFINITY;
    for (int q = 0; q < (pooled ? 4 : 1); ++q) {
      const double sum = pooled ? convolve(image, 2 * row + q / 2, 2 * column + q % 2, k, size)
                                : convolve(image, row, column, k, size);
      if (sum > v || std::isnan(sum)) v = sum;
    }
    v += bias[at(k)];
    if (s.relu && v < 0) v = 0;
    compare.add(y[at(i)], v, std::isnan(size) ? 0 : size * 0x1p-21);
  }
  compare.report(std::string(layer->name) + " " + std::to_string(s.h) + "×" + std::to_string(s.w) +
                 "×" + std::to_string(s.k));
}

}  // namespace

void checkFirstLayer() {
  forEachType([]<typename T>(T) {
    for (const bool pooled : {false, true}) {
      for (const Shape& shape : {Shape{2, 5, 7, 16, true, 1}, Shape{1, 1, 1, 16, true, 0},
                                 Shape{1, 2, 33, 64, false, 1}, Shape{2, 37, 45, 80, true, 1},
                                 Shape{1, 16, 32, 512, false, 0}, Shape{2, 19, 68, 16, true, 1}}) {
        checkForm<T, unsigned char>(shape, pooled);
        checkForm<T, float>(shape, pooled);
      }
    }
  });
}

}  // namespace test
