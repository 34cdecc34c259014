// Convolution as an implicit matrix product: A is never materialised, because a pixel's row of A is
// one run of memory per filter row.
#include <algorithm>

#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

// The maximum size of a block of input rows, or of a set of panels, in the L2 cache.
constexpr size_t kCacheBytes = size_t{256} << 10;

/** How the output is cut: each task computes `rows` rows of one image for `panels` panels of
 * filters. */
struct Blocks {
  ptrdiff_t rows, perImage;
  size_t panels, groups;
};

Blocks cut(const Buffer& input, const Buffer& output, const PackedFilter& filter, ptrdiff_t stride,
           ptrdiff_t images, int threads) {
  const size_t panelBytes = filter.depth() * filter.panelWidth() * sizeof(float);
  const bool panelsFit = panelBytes * filter.panels() <= kCacheBytes;
  // Small filters use all panels over few rows, so that the rows are read once. Large filters use
  // one panel over many rows.
  const size_t panels = panelsFit ? filter.panels() : 1;
  const size_t groups = filter.panels() / panels;
  const auto rowBytes = static_cast<size_t>(input.rowStride() * stride) * sizeof(float);
  const size_t cacheRows = (panelsFit ? kCacheBytes : 4 * kCacheBytes) / rowBytes;
  // At least eight tasks per thread, so that no thread waits long for the last one.
  const size_t wanted = static_cast<size_t>(threads) * 8;
  const size_t tasksPerRowBlock = groups * static_cast<size_t>(images);
  const size_t rowBlocks = std::max<size_t>(1, (wanted + tasksPerRowBlock - 1) / tasksPerRowBlock);
  const size_t balanced = (static_cast<size_t>(output.height) + rowBlocks - 1) / rowBlocks;
  const auto rows = static_cast<ptrdiff_t>(std::max<size_t>(1, std::min(cacheRows, balanced)));
  return {rows, (output.height + rows - 1) / rows, panels, groups};
}

}  // namespace

Step CpuExecutable::prepare(const Conv2d& op) {
  const std::optional<WinogradTiling>& tiling = choices_.winograd[op.output];
  return tiling ? prepareWinograd(op, *tiling) : prepareDirect(op);
}

Step CpuExecutable::prepareDirect(const Conv2d& op) {
  const Shape& shape = parameters_.specs()[op.weight].shape;
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(choices_.lastValueOf(op.output));
  const std::shared_ptr<const PackedFilter> filter =
      parameters_.filter(op, folded_.norms[op.output]);
  const bool pool = choices_.pooledBy[op.output] != nullptr;
  // Input pixels between two output pixels. A pooled output covers two each way.
  const ptrdiff_t stride = static_cast<ptrdiff_t>(op.stride) * (pool ? 2 : 1);
  const Blocks blocks = cut(input, output, *filter, stride, output.images, pool_.threads());

  PooledPanelProduct proto{};
  proto.bRowStride = kernels_.panelWidth;
  proto.aRowStride = op.stride * input.channels;
  proto.aLineStride = op.stride * input.rowStride();
  proto.aSegmentStride = input.rowStride();
  proto.segments = static_cast<int>(shape[2]);
  proto.depth = static_cast<ptrdiff_t>(shape[3]) * input.channels;
  proto.rows = output.width;
  proto.cRowStride = output.channels;
  proto.relu = op.relu;
  const ptrdiff_t padding = op.padding;

  return [=, this](const Run& run) {
    const auto perImage = static_cast<size_t>(blocks.perImage) * blocks.groups;
    pool_.run(static_cast<size_t>(run.last - run.first) * perImage, [&](size_t task) {
      const size_t group = task % blocks.groups;
      const auto block = static_cast<ptrdiff_t>(task / blocks.groups);
      const ptrdiff_t n = run.first + block / blocks.perImage;
      const ptrdiff_t top = block % blocks.perImage * blocks.rows;
      const ptrdiff_t bottom = std::min(top + blocks.rows, output.height);
      if (group == 0) clearBorder(output, run.arena, n, top, bottom);
      for (size_t panel = group * blocks.panels; panel < (group + 1) * blocks.panels; ++panel) {
        const auto firstColumn = static_cast<ptrdiff_t>(panel * filter->panelWidth());
        PooledPanelProduct product = proto;
        product.b = filter->panel(panel);
        product.next = product.b;  // the panel stays in the cache
        product.bias = filter->bias(panel);
        product.columns = static_cast<int>(
            std::min(static_cast<ptrdiff_t>(filter->panelWidth()), output.channels - firstColumn));
        for (ptrdiff_t y = top; y < bottom; ++y) {
          product.a = input.pixel(run.arena, n, y * stride - padding, -padding);
          product.c = output.pixel(run.arena, n, y, 0) + firstColumn;
          pool ? kernels_.multiplyAndPool(product) : kernels_.multiply(product);
        }
      }
    });
  };
}

}  // namespace vgg::cpu
