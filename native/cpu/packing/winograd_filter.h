// A convolution's 3 × 3 filters in Winograd's frequency domain.
#pragma once

#include <memory>

#include "core/memory/host_memory.h"
#include "core/threads/parallel.h"
#include "cpu/kernels.h"
#include "cpu/packing/packed_filter.h"
#include "cpu/packing/packed_matrix.h"

namespace vgg::cpu {

/** A panel of filters for one frequency. */
struct FilterPanel {
  size_t frequency, panel;
};

/** weight (K, C, 3, 3), with batch normalisation folded in →
 * [frequencies²][⌈K / panelWidth⌉][C][panelWidth]. */
class WinogradFilter final : public PackedParameters {
 public:
  /** frequencies: the number per side, 6 for tiles of 4 × 4 pixels, 8 for tiles of 4 or 6. isHalf:
   * stored in float16. */
  WinogradFilter(const Kernels& kernels, int frequencies, size_t filters, size_t channels,
                 bool isHalf, std::atomic<size_t>* counter);

  void pack(const FilterSource& source, ThreadPool& pool) override;

  [[nodiscard]] size_t panels() const { return panels_; }
  [[nodiscard]] PackedElements at(FilterPanel index) const {
    const size_t offset =
        (index.panel * frequencies_ * frequencies_ + index.frequency) * channels_ * panelWidth_;
    if (isHalf_) return {nullptr, reinterpret_cast<const uint16_t*>(weight_->data()) + offset};
    return {weight_->floats() + offset, nullptr};
  }
  /** Returns one bias per filter. */
  [[nodiscard]] const float* bias() const { return bias_->floats(); }
  /** Returns the bytes of the bias and of this many frequencies. */
  [[nodiscard]] size_t bytes(size_t frequencies) const {
    return weight_->bytes() / (frequencies_ * frequencies_) * frequencies + bias_->bytes();
  }

 private:
  const Kernels& kernels_;
  size_t frequencies_, panelWidth_, filters_, channels_, panels_;
  bool isHalf_;
  std::shared_ptr<HostMemory> weight_, bias_;
};

}  // namespace vgg::cpu
