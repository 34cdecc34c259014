#include "cpu/packing/packed_filter.h"

#include <algorithm>
#include <cmath>

#include "core/shape.h"

namespace vgg::cpu {

FilterScale scaleOf(const FilterSource& source, size_t k) {
  const double bias = source.bias == nullptr ? 0 : source.bias[k];
  if (source.scale == nullptr) return {1, bias};
  const double scale =
      source.scale[k] / std::sqrt(static_cast<double>(source.variance[k]) + source.epsilon);
  return {scale, (bias - source.mean[k]) * scale + source.shift[k]};
}

PackedFilter::PackedFilter(const Kernels& kernels, size_t filters, size_t channels, size_t height,
                           size_t width, std::atomic<size_t>* counter)
    : panelWidth_(static_cast<size_t>(kernels.panelWidth)),
      filters_(filters),
      channels_(channels),
      height_(height),
      width_(width),
      panels_((filters + panelWidth_ - 1) / panelWidth_),
      weight_(HostMemory::allocate(
          checkedMultiply(checkedMultiply(panels_ * panelWidth_, depth()), sizeof(float)),
          counter)),
      bias_(HostMemory::allocate(panels_ * panelWidth_ * sizeof(float), counter)) {}

void PackedFilter::pack(const FilterSource& source, ThreadPool& pool) {
  const size_t area = height_ * width_;
  pool.run(panels_, [&](size_t panel) {
    float* packed = weight_->floats() + panel * depth() * panelWidth_;
    for (size_t lane = 0; lane < panelWidth_; ++lane) {
      const size_t k = panel * panelWidth_ + lane;
      float* bias = bias_->floats() + k;
      if (k >= filters_) {
        for (size_t i = 0; i < depth(); ++i) packed[i * panelWidth_ + lane] = 0;
        *bias = 0;
        continue;
      }
      const auto [scale, shift] = scaleOf(source, k);
      *bias = static_cast<float>(shift);
      const float* weight = source.weight + k * depth();
      for (size_t c = 0; c < channels_; ++c) {
        for (size_t i = 0; i < area; ++i) {
          packed[(i * channels_ + c) * panelWidth_ + lane] =
              static_cast<float>(weight[c * area + i] * scale);
        }
      }
    }
  });
}

}  // namespace vgg::cpu
