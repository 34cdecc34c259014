#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/shape.h"

namespace vgg::image {
namespace {

constexpr size_t kChannels = 3;
/** A sum of 8-bit samples times weights that add up to one must fit 31 bits, with one to spare. */
constexpr int kWeightBits = 32 - 8 - 2;

/** The input samples that one output sample is made of: `count` from `first` on. */
struct Tap {
  int64_t first;
  int64_t count;
  size_t weights;
};

struct Filter {
  std::vector<Tap> taps;
  std::vector<int32_t> weights;
};

/** Halves go up. */
int64_t nearest(double value) { return static_cast<int64_t>(std::floor(value + 0.5)); }

/** Output samples [offset, offset + count) of an axis that goes from `from` to `to` samples. */
Filter triangleFilter(int64_t from, int64_t to, int64_t offset, int64_t count) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0);
  Filter filter;
  std::vector<double> exact;
  for (int64_t i = offset; i < offset + count; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(nearest(center - support), 0);
    const auto end = std::min(nearest(center + support), from);
    exact.clear();
    double sum = 0;
    const double inverse = 1.0 / support;
    for (int64_t k = first; k < end; ++k) {
      const double distance = std::abs((static_cast<double>(k) - center + 0.5) * inverse);
      exact.push_back(std::max(1.0 - distance, 0.0));
      sum += exact.back();
    }
    filter.taps.push_back({first, end - first, filter.weights.size()});
    for (const double weight : exact) {
      const double fixed = weight / sum * (1 << kWeightBits);
      filter.weights.push_back(static_cast<int32_t>(nearest(fixed)));
    }
  }
  return filter;
}

uint8_t toByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

void resizeRow(const uint8_t* row, const Filter& filter, uint8_t* out) {
  for (const Tap& tap : filter.taps) {
    const uint8_t* in = row + static_cast<size_t>(tap.first) * kChannels;
    const int32_t* weights = filter.weights.data() + tap.weights;
    int32_t red = kHalf;
    int32_t green = kHalf;
    int32_t blue = kHalf;
    for (int64_t k = 0; k < tap.count; ++k, in += kChannels) {
      red += in[0] * weights[k];
      green += in[1] * weights[k];
      blue += in[2] * weights[k];
    }
    *out++ = toByte(red);
    *out++ = toByte(green);
    *out++ = toByte(blue);
  }
}

}  // namespace

void checkResizePlan(const ResizePlan& plan) {
  const auto within = [](int64_t from, int64_t to, int64_t offset, int64_t count) {
    return from >= 1 && to >= 1 && offset >= 0 && count >= 1 && count <= to && offset <= to - count;
  };
  if (!within(plan.width, plan.resizedWidth, plan.left, plan.cropWidth) ||
      !within(plan.height, plan.resizedHeight, plan.top, plan.cropHeight)) {
    throw Error(Code::kInternal, "Expected a window within the resized image");
  }
}

void resizeAndCrop(const uint8_t* pixels, const ResizePlan& plan, uint8_t* cropped) {
  checkResizePlan(plan);
  const Filter columns = triangleFilter(plan.width, plan.resizedWidth, plan.left, plan.cropWidth);
  const Filter rows = triangleFilter(plan.height, plan.resizedHeight, plan.top, plan.cropHeight);
  const size_t rowBytes = static_cast<size_t>(plan.cropWidth) * kChannels;

  // The rows of the image that the window is made of, already narrow. Both ends of the taps rise.
  const int64_t firstRow = rows.taps.front().first;
  const int64_t endRow = rows.taps.back().first + rows.taps.back().count;
  std::vector<uint8_t> narrow(checkedMultiply(static_cast<size_t>(endRow - firstRow), rowBytes));
  const size_t stride = static_cast<size_t>(plan.width) * kChannels;
  for (int64_t y = firstRow; y < endRow; ++y) {
    resizeRow(pixels + static_cast<size_t>(y) * stride, columns,
              narrow.data() + static_cast<size_t>(y - firstRow) * rowBytes);
  }

  std::vector<int32_t> sums(rowBytes);
  for (const Tap& tap : rows.taps) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const uint8_t* in = narrow.data() + static_cast<size_t>(tap.first - firstRow) * rowBytes;
    for (int64_t k = 0; k < tap.count; ++k, in += rowBytes) {
      const int32_t weight = rows.weights[tap.weights + static_cast<size_t>(k)];
      for (size_t x = 0; x < rowBytes; ++x) sums[x] += in[x] * weight;
    }
    cropped = std::transform(sums.begin(), sums.end(), cropped, toByte);
  }
}

}  // namespace vgg::image
