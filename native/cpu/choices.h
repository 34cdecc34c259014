// The choices of this back end as data: the layout and memory of each value, which operations are
// fused or need no step, which algorithm they use, and how many images they process at once.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "core/op.h"
#include "cpu/kernels.h"
#include "cpu/ops/conv2d/winograd_tiling.h"
#include "cpu/ops/gemm/linear_split.h"

namespace vgg::cpu {

/**
 * The memory of a value in the arena. Activations are channels last, float (N, H, W, C). If a
 * padded convolution reads them, a ring of `border` zero pixels surrounds them, plus `rowsBelow`
 * and `columnsBeside` if its tiles reach further, so that it never tests for an edge. A value (N,
 * F) is (N, 1, 1, F).
 */
struct Buffer {
  size_t offset = 0;
  ptrdiff_t images = 0;  // held at once: the batch, or fewer if the steps run image by image
  ptrdiff_t channels = 0, height = 1, width = 1, border = 0, rowsBelow = 0, columnsBeside = 0;

  [[nodiscard]] ptrdiff_t rowStride() const {
    return (width + 2 * border + columnsBeside) * channels;
  }
  [[nodiscard]] ptrdiff_t imageStride() const {
    return (height + 2 * border + rowsBelow) * rowStride();
  }
  [[nodiscard]] float* image(std::byte* arena, ptrdiff_t n) const {
    return reinterpret_cast<float*>(arena + offset) + (n < images ? n : n % images) * imageStride();
  }
  /** Returns the first channel of pixel (y, x); -border ≤ y, x. */
  [[nodiscard]] float* pixel(std::byte* arena, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x) const {
    return image(arena, n) + (y + border) * rowStride() + (x + border) * channels;
  }
};

/** Vectors have one entry per value. The pointers are into the program, which must outlive this. */
struct Choices {
  std::vector<Buffer> buffers;
  std::vector<int> storage;    // itself, or the value whose bytes it shares
  std::vector<bool> isMerged;  // needs no step, or another operation's step computes it
  std::vector<const MaxPool2d*>
      pooledBy;  // the 2 × 2 pool that runs in the step of the convolution that computes it
  std::vector<std::optional<WinogradTiling>> winograd;  // its convolution's tiles, if it has any
  std::vector<size_t> scratch;  // the offset of the scratch memory of the step that computes it
  std::map<int, LinearSplit> linear;  // keyed by the value that a linear layer computes
  size_t imagewise = 0;  // number of first operations that run for `imagesAtOnce` images at a time
  ptrdiff_t imagesAtOnce = 0;
  size_t arenaBytes = 0;

  [[nodiscard]] bool isPartOfAnotherStep(const Op& op) const { return isMerged[outputOf(op)]; }
  /** Returns the last value that the step of the operation that computes `value` computes: the
   * pool's if one is fused into it. */
  [[nodiscard]] int lastValueOf(int value) const {
    return pooledBy[value] == nullptr ? value : pooledBy[value]->output;
  }
};

/** `program` has its batch normalisation folded (core/fold.h). `isHalf` has the same meaning as for
 * CpuParameters. Throws Error kOutOfMemory if no memory could hold it. */
Choices choose(const Program& program, const std::vector<ParameterSpec>& specs, bool isHalf,
               size_t batch, const Kernels& kernels, int threads);

}  // namespace vgg::cpu
