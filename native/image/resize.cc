#include "image/resize.h"

#include <algorithm>
#include <array>
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

/**
 * Output samples [offset, offset + count) of an axis that goes from `from` to `to` samples.
 * `isMirrored`: the input lies in memory from its last sample to its first.
 */
Filter triangleFilter(int64_t from, int64_t to, int64_t offset, int64_t count, bool isMirrored) {
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
    if (isMirrored) std::reverse(exact.begin(), exact.end());
    filter.taps.push_back({isMirrored ? from - end : first, end - first, filter.weights.size()});
    for (const double weight : exact) {
      const double fixed = weight / sum * (1 << kWeightBits);
      filter.weights.push_back(static_cast<int32_t>(nearest(fixed)));
    }
  }
  return filter;
}

uint8_t toByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

/** Filters the samples along a row. Pixel `i` of the result goes to `out` + i × `step`. */
void resizeRow(const uint8_t* row, const Filter& filter, uint8_t* out, size_t step) {
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
    out[0] = toByte(red);
    out[1] = toByte(green);
    out[2] = toByte(blue);
    out += step;
  }
}

/** One row of the result, of `length` samples: the sum of `tap`'s rows, which are `stride` apart.
 */
void sumRows(const uint8_t* rows, size_t stride, const Tap& tap, const Filter& filter,
             size_t length, uint8_t* out) {
  constexpr size_t kBlock = 2048;  // Its sums stay in the L1 cache.
  std::array<int32_t, kBlock> sums;
  const int32_t* weights = filter.weights.data() + tap.weights;
  rows += static_cast<size_t>(tap.first) * stride;
  for (size_t begin = 0; begin < length; begin += kBlock) {
    const size_t count = std::min(kBlock, length - begin);
    std::fill_n(sums.begin(), count, kHalf);
    for (int64_t k = 0; k < tap.count; ++k) {
      const uint8_t* in = rows + static_cast<size_t>(k) * stride + begin;
      const int32_t weight = weights[k];
      for (size_t i = 0; i < count; ++i) sums[i] += in[i] * weight;
    }
    std::transform(sums.begin(), sums.begin() + static_cast<ptrdiff_t>(count), out + begin, toByte);
  }
}

/** How the pixels of an upright image lie in memory. */
struct Layout {
  /** Rows of the image are columns in memory. */
  bool isTransposed;
  /** Each row, or each column, lies from its last pixel to its first. */
  bool mirrorsRows, mirrorsColumns;
};

Layout layoutOf(int64_t orientation) {
  switch (orientation) {
    case 2:
      return {false, true, false};
    case 3:
      return {false, true, true};
    case 4:
      return {false, false, true};
    case 5:
      return {true, false, false};
    case 6:
      return {true, true, false};
    case 7:
      return {true, true, true};
    case 8:
      return {true, false, true};
    default:
      return {false, false, false};
  }
}

/** The input samples that a filter reads: [first, end). */
struct Span {
  int64_t first, end;
};

Span spanOf(const Filter& filter) {
  // Both ends of the taps rise, or fall if the axis is mirrored.
  const Tap& front = filter.taps.front();
  const Tap& back = filter.taps.back();
  return {std::min(front.first, back.first),
          std::max(front.first + front.count, back.first + back.count)};
}

/** Moves the filter to an input that begins at sample `first`. */
void startAt(Filter& filter, int64_t first) {
  for (Tap& tap : filter.taps) tap.first -= first;
}

}  // namespace

void checkGeometry(const ResizeGeometry& geometry) {
  const auto within = [](int64_t from, int64_t to, int64_t offset, int64_t count) {
    return from >= 1 && to >= 1 && offset >= 0 && count >= 1 && count <= to && offset <= to - count;
  };
  if (!within(geometry.width, geometry.resizedWidth, geometry.left, geometry.cropWidth) ||
      !within(geometry.height, geometry.resizedHeight, geometry.top, geometry.cropHeight)) {
    throw Error(Code::kInternal, "Expected a window within the resized image");
  }
  if (geometry.orientation < 1 || geometry.orientation > 8)
    throw Error(Code::kInternal, "Expected an orientation from 1 to 8");
}

void resizeAndCrop(const uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped) {
  checkGeometry(geometry);
  const Layout layout = layoutOf(geometry.orientation);
  const Filter alongRows = triangleFilter(geometry.width, geometry.resizedWidth, geometry.left,
                                          geometry.cropWidth, layout.mirrorsRows);
  Filter alongColumns = triangleFilter(geometry.height, geometry.resizedHeight, geometry.top,
                                       geometry.cropHeight, layout.mirrorsColumns);
  // What lies outside this span of each column is not part of the window.
  const Span span = spanOf(alongColumns);
  startAt(alongColumns, span.first);
  const auto first = static_cast<size_t>(span.first);
  const auto height = static_cast<size_t>(span.end - span.first);
  const size_t cropRow = static_cast<size_t>(geometry.cropWidth) * kChannels;

  if (layout.isTransposed) {
    // Computes one column of the narrow image at a time. It is a row in memory.
    const size_t stride = static_cast<size_t>(geometry.height) * kChannels;
    std::vector<uint8_t> column(checkedMultiply(height, kChannels));
    for (const Tap& tap : alongRows.taps) {
      sumRows(pixels + first * kChannels, stride, tap, alongRows, column.size(), column.data());
      resizeRow(column.data(), alongColumns, cropped, cropRow);
      cropped += kChannels;
    }
    return;
  }
  const size_t stride = static_cast<size_t>(geometry.width) * kChannels;
  std::vector<uint8_t> narrow(checkedMultiply(height, cropRow));
  for (size_t y = 0; y < height; ++y)
    resizeRow(pixels + (first + y) * stride, alongRows, narrow.data() + y * cropRow, kChannels);
  for (const Tap& tap : alongColumns.taps) {
    sumRows(narrow.data(), cropRow, tap, alongColumns, cropRow, cropped);
    cropped += cropRow;
  }
}

}  // namespace vgg::image
