#include "cuda/ops/conv2d/convolution_check.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "cuda/known_numbers.h"

namespace vgg::cuda {
namespace {

constexpr int64_t kFiltersPerPixel = 16;  // all filters if there are fewer
// Relative to the norm of a sum's terms, and to the sum. Rounding to bfloat16 takes a fifth of it.
// Wrong outputs are off by about the norm.
constexpr double kTolerance = 0.02;

// Elements by their index in memory.
int inputAt(int64_t index) { return static_cast<int>(scatter(index) % 7) - 3; }
int filterAt(int64_t index) { return static_cast<int>(scatter(~index) % 3) - 1; }
int biasAt(int64_t index) { return static_cast<int>(scatter(index) % 65) - 32; }

DType dtypeOf(cudnnDataType_t type) {
  if (type == CUDNN_DATA_HALF) return DType::kFloat16;
  return type == CUDNN_DATA_BFLOAT16 ? DType::kBfloat16 : DType::kFloat32;
}

int64_t imageElements(const Convolution& c) { return c.channels * c.height * c.width; }
/** The images that get known numbers; their outputs are compared. */
std::set<int64_t> imagesOf(const Convolution& c) { return {0, c.batch / 2, c.batch - 1}; }
int64_t filterElements(const Convolution& c) {
  return c.filterHeight * c.filterWidth * c.channels;  // elements of one filter
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
  for (const int64_t image : imagesOf(c)) {
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
  poisonOutput(buffers.output, 1);
  plan.execute(context_.cudnn(), buffers);
  return isRight(buffers.output, plan.form() == Form::kFused, 1);
}

bool ConvolutionCheck::passes(const DirectConvolution& direct, ConvolutionBuffers buffers,
                              bool isPooled) const {
  const auto filters = static_cast<size_t>(convolution_.filters);
  const DeviceMemory bias(context_, filters * sizeof(float), nullptr);
  upload(context_, bias.address(), DType::kFloat32, 0, convolution_.filters, biasAt);
  buffers.filter = filter_.address();
  buffers.bias = bias.address();
  const int64_t window = isPooled ? 2 : 1;
  // It runs twice, because it must leave nothing behind that spoils its next run.
  for (int i = 0; i < 2; ++i) {
    poisonOutput(buffers.output, window);
    direct(buffers);
    if (!isRight(buffers.output, true, window)) return false;
  }
  return true;
}

/** Overwrites the output, which may hold the right answer of a plan that was checked before. */
void ConvolutionCheck::poisonOutput(CUdeviceptr output, int64_t window) const {
  const Convolution& c = convolution_;
  const int64_t pixels = c.outputHeight() / window * (c.outputWidth() / window);
  poison(context_, output, static_cast<size_t>(c.batch * pixels * c.filters) * byteSize(type_));
}

bool ConvolutionCheck::isRight(CUdeviceptr output, bool isFused, int64_t window) const {
  const Convolution& c = convolution_;
  const int64_t height = c.outputHeight() / window;
  const int64_t width = c.outputWidth() / window;
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
  const auto elements = static_cast<size_t>(height * width * c.filters);
  for (const int64_t image : imagesOf(c)) {
    const std::vector<float> values =
        download(context_, output + static_cast<size_t>(image) * elements * byteSize(type_), type_,
                 elements);
    // Every element must be stored, and a sample must be right.
    if (std::ranges::any_of(values, [](float value) { return std::isnan(value); })) return false;
    for (const int64_t y : std::set{int64_t{0}, height / 3, height - 1}) {
      for (const int64_t x : {int64_t{0}, width * 2 / 3, width - 1}) {
        for (int64_t k = x % step; k < c.filters; k += step) {
          const Truth truth = truthAt(image, y, x, k);
          const float value = values[static_cast<size_t>((y * width + x) * c.filters + k)];
          if (!(std::abs(value - truth.value) <= truth.tolerance)) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace vgg::cuda
