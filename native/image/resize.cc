#include "image/resize.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"
#include "core/shape.h"

namespace vgg::image {
namespace {

uint8_t toByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

/** Filters the samples along a row. Pixel `i` of the result goes to `out` + i × `step`. */
template <size_t kChannels>
void resizeRow(const uint8_t* row, const Filter& filter, uint8_t* out, size_t step) {
  for (const Tap& tap : filter.taps) {
    const uint8_t* in = row + static_cast<size_t>(tap.first) * kChannels;
    const int32_t* weights = filter.weights.data() + tap.weights;
    std::array<int32_t, kChannels> sums;
    sums.fill(kHalf);
    for (int64_t k = 0; k < tap.count; ++k, in += kChannels)
      for (size_t c = 0; c < kChannels; ++c) sums[c] += in[c] * weights[k];
    for (size_t c = 0; c < kChannels; ++c) out[c] = toByte(sums[c]);
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

/** The axes of the upright image. */
struct Axes {
  Axis alongRows, alongColumns;
};

Axes axesOf(const ResizeGeometry& geometry, const Layout& layout) {
  return {{geometry.width, geometry.resizedWidth, geometry.left, geometry.cropWidth,
           layout.mirrorsRows},
          {geometry.height, geometry.resizedHeight, geometry.top, geometry.cropHeight,
           layout.mirrorsColumns}};
}

/** Copies the nearest pixels. */
template <size_t kChannels>
void pick(const uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped) {
  const Layout layout = layoutOf(geometry.orientation);
  const Axes axes = axesOf(geometry, layout);
  const std::vector<int64_t> columns = nearestSamples(axes.alongRows);
  const int64_t acrossStep = layout.isTransposed ? geometry.height : 1;
  const int64_t downStep = layout.isTransposed ? 1 : geometry.width;
  for (const int64_t y : nearestSamples(axes.alongColumns)) {
    for (const int64_t x : columns) {
      const auto pixel = static_cast<size_t>(y * downStep + x * acrossStep);
      cropped = std::copy_n(pixels + pixel * kChannels, kChannels, cropped);
    }
  }
}

/** Filters along rows, then along columns. */
template <size_t kChannels>
void filter(const uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped) {
  const Layout layout = layoutOf(geometry.orientation);
  const Axes axes = axesOf(geometry, layout);
  const Filter alongRows = makeFilter(geometry.interpolation, axes.alongRows);
  Filter alongColumns = makeFilter(geometry.interpolation, axes.alongColumns);
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
      resizeRow<kChannels>(column.data(), alongColumns, cropped, cropRow);
      cropped += kChannels;
    }
    return;
  }
  const size_t stride = static_cast<size_t>(geometry.width) * kChannels;
  std::vector<uint8_t> narrow(checkedMultiply(height, cropRow));
  for (size_t y = 0; y < height; ++y)
    resizeRow<kChannels>(pixels + (first + y) * stride, alongRows, narrow.data() + y * cropRow,
                         kChannels);
  for (const Tap& tap : alongColumns.taps) {
    sumRows(narrow.data(), cropRow, tap, alongColumns, cropRow, cropped);
    cropped += cropRow;
  }
}

/** Makes grey pixels of red, green and blue in place, as Pillow's convert("L") does: ITU-R 601-2 in
 * fixed point. */
void toGrey(uint8_t* pixels, size_t count) {
  constexpr uint32_t red = 19595, green = 38470, blue = 7471, half = 0x8000;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* in = pixels + i * kPixelBytes;
    pixels[i] = static_cast<uint8_t>((in[0] * red + in[1] * green + in[2] * blue + half) >> 16);
  }
}

template <size_t kChannels>
void resize(const uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped) {
  if (geometry.interpolation == Interpolation::kNearest)
    pick<kChannels>(pixels, geometry, cropped);
  else
    filter<kChannels>(pixels, geometry, cropped);
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
  if (geometry.channels != 1 && geometry.channels != 3)
    throw Error(Code::kInternal, "Expected 1 or 3 channels");
}

void resizeAndCrop(uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped) {
  checkGeometry(geometry);
  if (geometry.channels == 3) return resize<3>(pixels, geometry, cropped);
  toGrey(pixels, checkedMultiply(static_cast<size_t>(geometry.width),
                                 static_cast<size_t>(geometry.height)));
  resize<1>(pixels, geometry, cropped);
}

}  // namespace vgg::image
