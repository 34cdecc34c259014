// The linear layer: at small batches a stream over the weights, read once; above, blocked so that
// they stay in cache.
#include <algorithm>

#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kDepthBlock = 512;  // depth · panelWidth floats of a panel: 64 KiB at most

}  // namespace

Step CpuExecutable::prepare(const Gemm& op) {
  use(op.weight);
  const int bias = use(op.bias);
  // The bytes may be those of (N, H, W, C): then the weight's columns are packed in that order.
  Buffer input = buffer(home_[op.input]);
  const std::shared_ptr<const PackedMatrix> weight =
      parameters_.matrix(op.weight, static_cast<size_t>(input.channels));
  const Buffer output = buffer(op.output);
  const auto panelWidth = static_cast<ptrdiff_t>(weight->panelWidth());
  const auto depth = static_cast<ptrdiff_t>(weight->columns());
  const bool relu = op.relu;
  // A short last panel must not read past the end of the bias.
  const auto paddedBias =
      std::make_shared<std::vector<float>>(weight->panels() * weight->panelWidth(), 0.0F);
  const ptrdiff_t tiles = (batch_ + kernels_.maxRows - 1) / kernels_.maxRows;
  const ptrdiff_t depthBlock = tiles == 1 ? depth : kDepthBlock;

  return [=, this](const Run& run) {
    if (bias != kNone) std::copy_n(parameters_.dense(bias), output.channels, paddedBias->data());
    pool_.run(weight->panels(), [&](size_t panel) {
      const auto firstColumn = static_cast<ptrdiff_t>(panel) * panelWidth;
      Tile tile{};
      tile.aRowStride = input.imageStride();
      tile.segments = 1;
      tile.cRowStride = output.imageStride();
      tile.columns = static_cast<int>(std::min(panelWidth, output.channels - firstColumn));
      for (ptrdiff_t start = 0; start < depth; start += depthBlock) {
        const bool isLast = start + depthBlock >= depth;
        tile.depth = std::min(depthBlock, depth - start);
        tile.b = weight->panel(panel) + start * panelWidth;
        tile.bias = isLast ? paddedBias->data() + firstColumn : nullptr;
        tile.accumulate = start > 0;
        tile.relu = relu && isLast;
        for (ptrdiff_t i = 0; i < tiles; ++i) {
          const ptrdiff_t n = i * batch_ / tiles;
          tile.rows = static_cast<int>((i + 1) * batch_ / tiles - n);
          tile.a = input.image(run.arena, n) + start;
          tile.c = output.image(run.arena, n) + firstColumn;
          kernels_.tile(tile);
        }
      }
    });
  };
}

}  // namespace vgg::cpu
