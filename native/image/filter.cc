#include "image/filter.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vgg::image {
namespace {

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double triangle(double x) { return std::max(1.0 - std::abs(x), 0.0); }

/** Keys's cubic with a = -0.5. */
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

/** A function that is zero from `support` samples on. */
struct Kernel {
  double (*weight)(double distance);
  double support;
};

Kernel kernelOf(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kBox:
      return {box, 0.5};
    case Interpolation::kBicubic:
      return {cubic, 2.0};
    case Interpolation::kLanczos:
      return {lanczos, 3.0};
    default:
      return {triangle, 1.0};
  }
}

/** Rounds halves up. */
int64_t rounded(double value) { return static_cast<int64_t>(std::floor(value + 0.5)); }

/** Rounds halves away from zero, as Pillow does with weights. */
int32_t fixedPoint(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

}  // namespace

Filter makeFilter(Interpolation interpolation, const Axis& axis) {
  const auto [from, to, offset, count, isMirrored] = axis;
  const Kernel kernel = kernelOf(interpolation);
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double widening = std::max(scale, 1.0);
  const double support = kernel.support * widening;
  const double inverse = 1.0 / widening;
  Filter filter;
  std::vector<double> exact;
  for (int64_t i = offset; i < offset + count; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(rounded(center - support), 0);
    const auto end = std::min(rounded(center + support), from);
    exact.clear();
    double sum = 0;
    for (int64_t k = first; k < end; ++k) {
      exact.push_back(kernel.weight((static_cast<double>(k) - center + 0.5) * inverse));
      sum += exact.back();
    }
    if (isMirrored) std::reverse(exact.begin(), exact.end());
    filter.taps.push_back({isMirrored ? from - end : first, end - first, filter.weights.size()});
    for (const double weight : exact) filter.weights.push_back(fixedPoint(weight / sum));
  }
  return filter;
}

std::vector<int64_t> nearestSamples(const Axis& axis) {
  const auto [from, to, offset, count, isMirrored] = axis;
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  // Pillow adds the scale step by step. A product would round differently.
  double position = scale * 0.5;
  for (int64_t i = 0; i < offset; ++i) position += scale;
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < count; ++i, position += scale) {
    const auto sample = std::min(static_cast<int64_t>(position), from - 1);
    samples.push_back(isMirrored ? from - 1 - sample : sample);
  }
  return samples;
}

}  // namespace vgg::image
