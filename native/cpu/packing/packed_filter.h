// A convolution's weight and bias in the order that the kernels read, with batch normalisation
// folded in.
#pragma once

#include <memory>

#include "core/memory/host_memory.h"
#include "core/threads/parallel.h"
#include "cpu/kernels.h"

namespace vgg::cpu {

/** The row-major parameters that a packed filter is made from. Null if the layer lacks one. */
struct FilterSource {
  const float *weight, *bias;  // (K, C, R, S), (K)
  const float *scale, *shift, *mean,
      *variance;  // batch normalisation's weight, bias, statistics (K); all or none
  float epsilon;
};

/** Row-major parameters, packed in the order of a kernel. */
class PackedParameters {
 public:
  virtual ~PackedParameters() = default;
  virtual void pack(const FilterSource& source, ThreadPool& pool) = 0;
};

/** The folded bias and batch normalisation of filter k: weights are multiplied by `scale`, `shift`
 * is added to sums. */
struct FilterScale {
  double scale, shift;
};
FilterScale scaleOf(const FilterSource& source, size_t k);

/** weight (K, C, R, S) → [⌈K / panelWidth⌉][R][S][C][panelWidth], and bias → [⌈K /
 * panelWidth⌉][panelWidth]. */
class PackedFilter final : public PackedParameters {
 public:
  PackedFilter(const Kernels& kernels, size_t filters, size_t channels, size_t height, size_t width,
               std::atomic<size_t>* counter);

  void pack(const FilterSource& source, ThreadPool& pool) override;

  [[nodiscard]] size_t panels() const { return panels_; }
  [[nodiscard]] const float* panel(size_t index) const {
    return weight_->floats() + index * depth() * panelWidth_;
  }
  [[nodiscard]] const float* bias(size_t index) const {
    return bias_->floats() + index * panelWidth_;
  }
  [[nodiscard]] size_t depth() const { return channels_ * height_ * width_; }
  [[nodiscard]] size_t panelWidth() const { return panelWidth_; }

 private:
  size_t panelWidth_, filters_, channels_, height_, width_, panels_;
  std::shared_ptr<HostMemory> weight_, bias_;
};

}  // namespace vgg::cpu
