#include "cuda/ops/conv2d/first_layer_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "cuda/kernels/launch.h"
#include "cuda/known_numbers.h"

namespace vgg::cuda {
namespace {

constexpr int64_t kTaps = geometry::kFirstLayerTaps;
constexpr std::array<int, 3> kScale{1, 2, 1};
constexpr std::array<int, 3> kShift{1, -1, 0};

int pixelAt(int64_t index) { return static_cast<int>(scatter(index) % 7); }
int weightAt(int64_t index) { return static_cast<int>(scatter(~index) % 3) - 1; }
int biasAt(int64_t filter) { return static_cast<int>(scatter(filter) % 65) - 32; }

/** Returns one output of the convolution, with bias and ReLU. */
int64_t truthOf(const FirstLayerShape& s, int64_t image, int64_t y, int64_t x, int64_t filter) {
  int64_t sum = biasAt(filter);
  for (int64_t tap = 0; tap < kTaps; ++tap) {
    const int64_t c = tap / 9;
    const int64_t row = y + tap % 9 / 3 - 1;
    const int64_t column = x + tap % 3 - 1;
    // The padding follows the normalisation.
    if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
    int value = pixelAt(s.isUint8 ? ((image * s.height + row) * s.width + column) * 3 + c
                                  : ((image * 3 + c) * s.height + row) * s.width + column);
    const auto channel = static_cast<size_t>(c);
    if (s.isNormalized) value = value * kScale[channel] + kShift[channel];
    sum += int64_t{value} * weightAt(filter * kTaps + tap);
  }
  return s.relu ? std::max<int64_t>(sum, 0) : sum;
}

bool isRight(const FirstLayerShape& s, const std::vector<float>& values) {
  // Every element must be stored, and a sample must be right.
  if (std::ranges::any_of(values, [](float value) { return std::isnan(value); })) return false;
  const int64_t window = s.isPooled ? 2 : 1;
  const int64_t height = s.height / window;
  const int64_t width = s.width / window;
  const double roundoff = roundoffOf(typeOf(s.precision));
  for (int64_t image = 0; image < s.batch; ++image) {
    for (const int64_t y : std::set{int64_t{0}, height / 3, height - 1}) {
      for (const int64_t x : std::set{int64_t{0}, width * 2 / 3, width - 1}) {
        for (int64_t filter = 0; filter < s.filters; ++filter) {
          int64_t truth = truthOf(s, image, y * window, x * window, filter);
          for (int64_t i = 1; i < window * window; ++i) {
            truth = std::max(
                truth, truthOf(s, image, y * window + i / window, x * window + i % window, filter));
          }
          const float value =
              values[static_cast<size_t>(((image * height + y) * width + x) * s.filters + filter)];
          const auto wanted = static_cast<double>(truth);
          if (!(std::abs(value - wanted) <= std::abs(wanted) * roundoff)) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

std::string FirstLayerShape::text() const {
  return std::to_string(batch) + " " + std::to_string(height) + " " + std::to_string(width) + " " +
         std::to_string(filters) + " " + precisionName(precision) + (isUint8 ? " bytes" : "") +
         (isNormalized ? " normalized" : "") + (isPooled ? " pooled" : "") + (relu ? " relu" : "");
}

bool isFirstLayerRight(Context& context, Kernels& kernels, CUfunction kernel,
                       const FirstLayerShape& layer) {
  FirstLayerShape s = layer;
  s.batch = std::min<int64_t>(s.batch, 2);
  const Type type = typeOf(s.precision);
  const auto memoryOf = [&](int64_t count, size_t elementBytes) {
    return DeviceMemory(context, static_cast<size_t>(count) * elementBytes, nullptr);
  };
  const auto floatsOf = [&](const DeviceMemory& to, const auto& elementAt) {
    upload(context, to.address(), DType::kFloat32, 0,
           static_cast<int64_t>(to.bytes() / sizeof(float)), elementAt);
  };
  const int64_t pixels = s.batch * s.height * s.width * 3;
  const DeviceMemory images = memoryOf(pixels, s.isUint8 ? 1 : sizeof(float));
  if (s.isUint8) {
    std::vector<std::byte> bytes(static_cast<size_t>(pixels));
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(pixelAt(static_cast<int64_t>(i)));
    upload(context, images.address(), bytes);
  } else {
    floatsOf(images, pixelAt);
  }
  const DeviceMemory weight = memoryOf(s.filters * kTaps, sizeof(float));
  const DeviceMemory bias = memoryOf(s.filters, sizeof(float));
  const DeviceMemory scale = memoryOf(3, sizeof(float));
  const DeviceMemory shift = memoryOf(3, sizeof(float));
  floatsOf(weight, weightAt);
  floatsOf(bias, biasAt);
  floatsOf(scale, [](int64_t c) { return kScale[static_cast<size_t>(c)]; });
  floatsOf(shift, [](int64_t c) { return kShift[static_cast<size_t>(c)]; });
  const DeviceMemory filter = memoryOf(s.filters * geometry::kFirstLayerRow, byteSize(type));
  const std::string suffix = s.precision == Precision::kTf32 ? "tf32" : suffixOf(type);
  kernels.launch(context.compute(), kernels.function("pack", "packFirstFilter_" + suffix),
                 {static_cast<size_t>(geometry::blocksFor(s.filters * geometry::kFirstLayerRow))},
                 geometry::kThreads, weight.address(), CUdeviceptr{0}, filter.address(),
                 static_cast<int>(s.filters));
  // The kernel reads its filter early.
  context.call(context.api().cuStreamSynchronize, context.compute());

  const int64_t window = s.isPooled ? 2 : 1;
  const int64_t elements = s.batch * (s.height / window) * (s.width / window) * s.filters;
  const DeviceMemory output = memoryOf(elements, byteSize(type));
  poison(context, output.address(), output.bytes());
  const int64_t tiles = geometry::firstLayerTiles(s.batch, s.height, s.width);
  const Grid grid{
      static_cast<size_t>(geometry::firstLayerBlocks(tiles, context.gpu().multiprocessors)),
      static_cast<size_t>(geometry::firstLayerSlices(s.filters))};
  kernels.launch(context.compute(), kernel, grid, geometry::kThreads, images.address(),
                 filter.address(), bias.address(),
                 s.isNormalized ? scale.address() : CUdeviceptr{0}, shift.address(),
                 output.address(), static_cast<int>(s.batch), static_cast<int>(s.height),
                 static_cast<int>(s.width), static_cast<int>(s.filters), static_cast<int>(s.relu));
  return isRight(s,
                 download(context, output.address(), dtypeOf(type), static_cast<size_t>(elements)));
}

}  // namespace vgg::cuda
