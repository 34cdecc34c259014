// A convolution's weight and bias in the order in which the tiles read them, with batch
// normalisation folded in.
#pragma once

#include <memory>

#include "core/memory/host_memory.h"
#include "core/threads/parallel.h"
#include "cpu/kernels.h"

namespace vgg::cpu {

/** The row-major parameters that a packed filter is made from; those that the layer lacks are null.
 */
struct FilterSource {
  const float *weight, *bias;  // (K, C, R, S), (K)
  const float *scale, *shift, *mean,
      *variance;  // batch normalisation's weight, bias, statistics (K); all or none
  float epsilon;
};

/** Row-major parameters brought into the order of some kernel. */
class PackedParameters {
 public:
  virtual ~PackedParameters() = default;
  virtual void pack(const FilterSource& source, ThreadPool& pool) = 0;
};

/** What is left of bias and batch normalisation for filter k: weights times `scale`, sums plus
 * `shift`. */
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
