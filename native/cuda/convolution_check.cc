#include "cuda/convolution_check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "core/convert.h"

namespace vgg::cuda {
namespace {

constexpr int64_t kFiltersPerPixel = 16;  // or all of fewer
// Of the norm of a sum's terms, and of the sum. Rounding to bfloat16 takes a fifth of it; what is
// wrong is off by about the norm.
constexpr double kTolerance = 0.02;

/** The number of an element, scattered. */
uint32_t scatter(int64_t index) {
  auto bits = static_cast<uint32_t>(index);
  bits = (bits ^ bits >> 16) * 0x7feb352dU;
  bits = (bits ^ bits >> 15) * 0x846ca68bU;
  return bits ^ bits >> 16;
}

// Elements by their place in memory.
int inputAt(int64_t index) { return static_cast<int>(scatter(index) % 7) - 3; }
int filterAt(int64_t index) { return static_cast<int>(scatter(~index) % 3) - 1; }
int biasAt(int64_t index) { return static_cast<int>(scatter(index) % 65) - 32; }

DType dtypeOf(cudnnDataType_t type) {
  if (type == CUDNN_DATA_HALF) return DType::kFloat16;
  return type == CUDNN_DATA_BFLOAT16 ? DType::kBfloat16 : DType::kFloat32;
}

/** An integer that every type holds, as bits of this one. */
uint32_t bitsOf(int value, DType type) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  if (type == DType::kFloat32) return bits;
  if (type == DType::kBfloat16) return bits >> 16;
  constexpr uint32_t kLessExponent = (127 - 15) << 23;
  return value == 0 ? 0 : (bits >> 31 << 15) | ((bits & 0x7fffffffU) - kLessExponent) >> 13;
}

/** Elements [first, first + count) to `to`. */
template <typename ElementAt>
void upload(Context& context, CUdeviceptr to, DType type, int64_t first, int64_t count,
            const ElementAt& elementAt) {
  const size_t size = byteSize(type);
  std::vector<std::byte> bytes(static_cast<size_t>(count) * size);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bitsOf(elementAt(first + i), type);
    std::memcpy(bytes.data() + static_cast<size_t>(i) * size, &bits, size);  // little-endian
  }
  context.check(
      context.api().cuMemcpyHtoDAsync_v2(to, bytes.data(), bytes.size(), context.compute()),
      "cuMemcpyHtoDAsync");
  context.check(context.api().cuStreamSynchronize(context.compute()), "cuStreamSynchronize");
}

int64_t imageElements(const Convolution& c) { return c.channels * c.height * c.width; }
int64_t filterElements(const Convolution& c) {
  return c.filterHeight * c.filterWidth * c.channels;  // of one filter
}

}  // namespace

ConvolutionCheck::ConvolutionCheck(Context& context, const Convolution& c, CUdeviceptr input)
    : context_(context),
      convolution_(c),
      type_(dtypeOf(c.type)),
      filter_(context, static_cast<size_t>(c.filters * filterElements(c)) * byteSize(type_),
              nullptr),
      bias_(context, static_cast<size_t>(c.filters) * byteSize(type_), nullptr) {
  upload(context, filter_.address(), type_, 0, c.filters * filterElements(c), filterAt);
  upload(context, bias_.address(), type_, 0, c.filters, biasAt);
  for (const int64_t image : std::set{int64_t{0}, c.batch - 1}) {
    const int64_t first = image * imageElements(c);
    upload(context, input + static_cast<size_t>(first) * byteSize(type_), type_, first,
           imageElements(c), inputAt);
  }
}

ConvolutionCheck::Truth ConvolutionCheck::truthOf(int64_t image, int64_t outputY, int64_t outputX,
                                                  int64_t filter, bool isFused) const {
  const Convolution& c = convolution_;
  int64_t sum = 0;
  int64_t squares = 0;
  for (int64_t r = 0; r < c.filterHeight; ++r) {
    for (int64_t s = 0; s < c.filterWidth; ++s) {
      const int64_t y = outputY * c.stride - c.padding + r;
      const int64_t x = outputX * c.stride - c.padding + s;
      if (y < 0 || y >= c.height || x < 0 || x >= c.width) continue;
      const int64_t from = ((image * c.height + y) * c.width + x) * c.channels;
      const int64_t weights = filter * filterElements(c) + (r * c.filterWidth + s) * c.channels;
      for (int64_t channel = 0; channel < c.channels; ++channel) {
        const int64_t term = int64_t{inputAt(from + channel)} * filterAt(weights + channel);
        sum += term;
        squares += term * term;
      }
    }
  }
  auto value = static_cast<double>(sum);
  if (isFused) {
    value += biasAt(filter);
    if (c.relu) value = std::max(value, 0.0);
  }
  return {value, kTolerance * (std::sqrt(static_cast<double>(squares)) + std::abs(value))};
}

bool ConvolutionCheck::passes(const Plan& plan, ConvolutionBuffers buffers) const {
  buffers.filter = filter_.address();
  buffers.bias = bias_.address();
  plan.execute(context_.cudnn(), buffers);
  return isSampleRight(buffers.output, plan.form() == Form::kFused, false);
}

bool ConvolutionCheck::passes(const DirectConvolution& direct, ConvolutionBuffers buffers,
                              bool isPooled) const {
  const auto filters = static_cast<size_t>(convolution_.filters);
  const DeviceMemory bias(context_, filters * sizeof(float), nullptr);
  upload(context_, bias.address(), DType::kFloat32, 0, convolution_.filters, biasAt);
  buffers.filter = filter_.address();
  buffers.bias = bias.address();
  direct(buffers);
  return isSampleRight(buffers.output, true, isPooled);
}

bool ConvolutionCheck::isSampleRight(CUdeviceptr output, bool isFused, bool isPooled) const {
  const Convolution& c = convolution_;
  const int64_t window = isPooled ? 2 : 1;
  const int64_t height = c.outputHeight() / window;
  const int64_t width = c.outputWidth() / window;
  const std::set<std::pair<int64_t, int64_t>> rows = {
      {0, 0}, {0, height - 1}, {c.batch - 1, height / 3}, {c.batch - 1, height - 1}};
  const auto rowElements = static_cast<size_t>(width * c.filters);
  const size_t rowBytes = rowElements * byteSize(type_);
  std::vector<std::byte> bytes(rows.size() * rowBytes);
  std::byte* to = bytes.data();
  for (const auto& [image, y] : rows) {
    const CUdeviceptr from = output + static_cast<size_t>(image * height + y) * rowBytes;
    context_.check(context_.api().cuMemcpyDtoHAsync_v2(to, from, rowBytes, context_.compute()),
                   "cuMemcpyDtoHAsync");
    to += rowBytes;
  }
  context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  std::vector<float> values(rows.size() * rowElements);
  toFloat32(values.data(), bytes.data(), type_, values.size());
  const int64_t step = std::max<int64_t>(c.filters / kFiltersPerPixel, 1);
  const auto truthAt = [&](int64_t image, int64_t y, int64_t x, int64_t filter) {
    Truth most = truthOf(image, y * window, x * window, filter, isFused);
    for (int64_t i = 1; i < window * window; ++i) {
      const Truth other =
          truthOf(image, y * window + i / window, x * window + i % window, filter, isFused);
      if (other.value > most.value) most = other;
    }
    return most;
  };
  const float* row = values.data();
  for (const auto& [image, y] : rows) {
    for (const int64_t x : {int64_t{0}, width * 2 / 3, width - 1}) {
      for (int64_t k = x % step; k < c.filters; k += step) {
        const Truth truth = truthAt(image, y, x, k);
        // Not a number is not right.
        if (!(std::abs(row[x * c.filters + k] - truth.value) <= truth.tolerance)) return false;
      }
    }
    row += rowElements;
  }
  return true;
}

}  // namespace vgg::cuda
