// 3 × 3 convolutions of stride 1 by Winograd's F(4 × 4, 3 × 3) or F(6 × 6, 3 × 3): 36 or 64
// products of matrices in place of one, with a quarter or less of the multiplications.
#pragma once

#include <memory>

#include "core/host_memory.h"
#include "core/op.h"
#include "cpu/kernels.h"
#include "cpu/packed_filter.h"
#include "cpu/packed_matrix.h"
#include "cpu/parallel.h"

namespace vgg::cpu {

/** A panel of filters, of one frequency. */
struct FilterPanel {
  size_t frequency, panel;
};

/** A convolution's filters in the frequency domain, with batch normalisation folded in:
 * weight (K, C, 3, 3) → [frequencies][⌈K / panelWidth⌉][C][panelWidth]. */
class WinogradFilter final : public PackedParameters {
 public:
  /** side: of a tile's output. isHalf: kept in float16. */
  WinogradFilter(const Kernels& kernels, int side, size_t filters, size_t channels, bool isHalf,
                 std::atomic<size_t>* counter);

  void pack(const FilterSource& source, ThreadPool& pool) override;

  [[nodiscard]] size_t panels() const { return panels_; }
  [[nodiscard]] size_t channels() const { return channels_; }
  [[nodiscard]] PanelElements at(FilterPanel index) const {
    const size_t offset = (index.frequency * panels_ + index.panel) * channels_ * panelWidth_;
    if (isHalf_) return {nullptr, reinterpret_cast<const uint16_t*>(weight_->data()) + offset};
    return {weight_->floats() + offset, nullptr};
  }
  /** One per filter. */
  [[nodiscard]] const float* bias() const { return bias_->floats(); }
  [[nodiscard]] size_t bytes() const { return weight_->bytes() + bias_->bytes(); }

 private:
  const Kernels& kernels_;
  int side_;
  size_t panelWidth_, filters_, channels_, panels_;
  bool isHalf_;
  std::shared_ptr<HostMemory> weight_, bias_;
};

/** How the work of one layer is cut. */
struct WinogradPlan {
  /** Of a tile's output. */
  int side;
  ptrdiff_t tilesDown, tilesAcross;
  /** Tiles that are in work at once. */
  ptrdiff_t block;
  /** Whether all threads share a block between them, frequency by frequency, so that each filter is
   * read once for it; otherwise each has a block of its own, which stays in its cache. */
  bool isShared;
  /** Floats from a tile, and from a frequency, to the next: of the input and of the products. */
  ptrdiff_t inputRow, inputFrequency, productRow, productFrequency;

  [[nodiscard]] ptrdiff_t tiles() const { return tilesDown * tilesAcross; }
  [[nodiscard]] ptrdiff_t frequencies() const { return frequenciesOf(side); }
  /** What a block takes. */
  [[nodiscard]] size_t blockFloats() const {
    return static_cast<size_t>(frequencies() * (inputFrequency + productFrequency));
  }
  [[nodiscard]] size_t scratchFloats(int threads) const {
    return blockFloats() * static_cast<size_t>(isShared ? 1 : threads);
  }
};

/** The side of the tiles by which a convolution of this weight (K, C, R, S) with an output of
 * height × width before its pool should be done; 0: none. */
int winogradSide(const Conv2d& conv, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                 const Kernels& kernels);

/** For an output of height × width before its pool, `images` of them at once. */
WinogradPlan planWinograd(int side, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                          ptrdiff_t images, const Kernels& kernels, int threads);

}  // namespace vgg::cpu
