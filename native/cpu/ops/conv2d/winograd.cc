// 3 × 3 convolutions of stride 1 with Winograd's F(m × n, 3 × 3): up to 64 matrix products instead
// of one, with a quarter or less of the multiplications.
#include <algorithm>
#include <optional>

#include "cpu/executable.h"
#include "cpu/ops/conv2d/winograd_tiling.h"
#include "cpu/packing/winograd_filter.h"

namespace vgg::cpu {
namespace {

constexpr size_t kSharedPanels = 16;  // maximum number of panels in a task of one frequency
// The minimum number of channels in a part of a tile: whole cache lines.
constexpr ptrdiff_t kPartChannels = 64;

/** Tiles cut into parts of their channels, so that few tiles give work to many threads. */
class TileParts {
 public:
  TileParts(ptrdiff_t tiles, ptrdiff_t channels, int threads)
      : tiles_(tiles),
        channels_(channels),
        perTile_(std::clamp<ptrdiff_t>((4 * static_cast<ptrdiff_t>(threads) + tiles - 1) / tiles, 1,
                                       std::max<ptrdiff_t>(channels / kPartChannels, 1))) {}

  [[nodiscard]] size_t count() const { return static_cast<size_t>(tiles_ * perTile_); }

  /** Channels [first, last) of a tile. */
  struct Part {
    ptrdiff_t tile, first, last;
  };
  [[nodiscard]] Part at(size_t index) const {
    const auto tile = static_cast<ptrdiff_t>(index) / perTile_;
    const auto part = static_cast<ptrdiff_t>(index) % perTile_;
    return {tile, start(part), start(part + 1)};
  }

 private:
  [[nodiscard]] ptrdiff_t start(ptrdiff_t part) const {
    if (part == perTile_) return channels_;
    return channels_ / kPartChannels * part / perTile_ * kPartChannels;
  }

  ptrdiff_t tiles_, channels_, perTile_;
};

/** What the tasks of one layer share. */
struct Layer {
  const Kernels& kernels;
  WinogradTiling tiling;
  Buffer input, output;
  std::shared_ptr<const WinogradFilter> filter;
  ptrdiff_t padding;
  bool relu, pool;

  /** Zeroes the ring around part `part` of `parts` of the run's output rows. */
  void clear(const Run& run, ptrdiff_t part, ptrdiff_t parts) const {
    const ptrdiff_t rows = (run.last - run.first) * output.height;
    for (ptrdiff_t row = part * rows / parts; row < (part + 1) * rows / parts; ++row) {
      const ptrdiff_t y = row % output.height;
      clearBorder(output, run.arena, run.first + row / output.height, y, y + 1);
    }
  }

  /** Transforms channels [c, c + channels) of tile `tile` of the run to one row of each frequency
   * of the block. The row of the first frequency is at `to`. */
  void transform(const Run& run, ptrdiff_t tile, ptrdiff_t c, ptrdiff_t channels, float* to) const {
    const auto [shape, n, y, x] = tiling.positionOf(tile);
    kernels.winogradInput(
        {shape, input.pixel(run.arena, run.first + n, y - padding, x - padding) + c,
         input.rowStride(), input.channels, to + c,
         tiling.across.frequencies() * tiling.inputFrequency, tiling.inputFrequency, channels});
  }

  /** Multiplies the block's rows of one frequency (at `inputs`) by a panel of filters and stores
   * panelWidth columns at `products`. Prefetches `next` during the product. */
  void multiply(const FrequencyRows& rows, FilterPanel panel, FilterPanel next, const float* inputs,
                float* products) const {
    PanelProduct product{};
    product.a = inputs + rows.frequency * tiling.inputFrequency + rows.first * tiling.inputRow;
    product.aRowStride = tiling.inputRow;
    product.rows = rows.last - rows.first;
    product.segments = 1;
    product.depth = input.channels;
    const PackedElements b = filter->at(panel);
    product.b = b.floats;
    product.halfB = b.halves;
    product.bRowStride = kernels.panelWidth;
    product.next = filter->at(next).address();
    product.c =
        products + rows.frequency * tiling.productFrequency + rows.first * tiling.productRow;
    product.cRowStride = tiling.productRow;
    product.columns = kernels.panelWidth;
    kernels.multiply(product);
  }

  /** Transforms the row of products at `from` to channels [c, c + channels) of tile `tile` of the
   * run. */
  void finish(const Run& run, ptrdiff_t tile, ptrdiff_t c, ptrdiff_t channels,
              const float* from) const {
    const auto [shape, n, top, left] = tiling.positionOf(tile);
    const int shrink = pool ? 2 : 1;
    const ptrdiff_t y = top / shrink;
    const ptrdiff_t x = left / shrink;
    const ptrdiff_t rows = std::min<ptrdiff_t>(shape.down / shrink, output.height - y);
    const ptrdiff_t columns = std::min<ptrdiff_t>(shape.across / shrink, output.width - x);
    if (rows <= 0 || columns <= 0) return;
    kernels.winogradOutput({shape, from, tiling.across.frequencies() * tiling.productFrequency,
                            tiling.productFrequency, channels,
                            output.pixel(run.arena, run.first + n, y, x) + c, output.rowStride(),
                            output.channels, static_cast<int>(rows), static_cast<int>(columns),
                            filter->bias() + c, relu, pool});
  }
};

}  // namespace

Step CpuExecutable::prepareWinograd(const Conv2d& op, const WinogradTiling& tiling) {
  const size_t scratch = choices_.scratch[op.output];
  const Layer layer{kernels_,
                    tiling,
                    buffer(op.input),
                    buffer(choices_.lastValueOf(op.output)),
                    parameters_.winogradFilter(op, folded_.norms[op.output], tiling.form),
                    op.padding,
                    op.relu,
                    choices_.pooledBy[op.output] != nullptr};
  const ptrdiff_t width = kernels_.panelWidth;
  const ptrdiff_t filters = layer.output.channels;
  const auto panels = layer.filter->panels();
  const ptrdiff_t frequencies = tiling.frequencies();

  if (!tiling.isShared) {
    return [=, this](const Run& run) {
      pool_.run(static_cast<size_t>(tiling.blockCount), [&](size_t index, size_t thread) {
        layer.clear(run, static_cast<ptrdiff_t>(index), tiling.blockCount);
        const WinogradBlock block = tiling.blockAt(static_cast<ptrdiff_t>(index));
        auto* inputs =
            reinterpret_cast<float*>(run.arena + scratch) + thread * tiling.blockFloats();
        float* products = inputs + frequencies * tiling.inputFrequency;
        const ptrdiff_t rows = block.last - block.first;
        for (ptrdiff_t i = 0; i < rows; ++i) {
          layer.transform(run, block.first + i, 0, layer.input.channels,
                          inputs + i * tiling.inputRow);
        }
        for (size_t panel = 0; panel < panels; ++panel) {
          for (size_t f = 0; f < block.productCount; ++f) {
            const FrequencyRows& part = block.products[f];
            const bool isLast = f + 1 == block.productCount;
            const FrequencyRows& next = block.products[isLast ? 0 : f + 1];
            layer.multiply(part, {part.filter, panel},
                           {next.filter, isLast ? (panel + 1) % panels : panel}, inputs, products);
          }
          const ptrdiff_t c = static_cast<ptrdiff_t>(panel) * width;
          for (ptrdiff_t i = 0; i < rows; ++i) {
            layer.finish(run, block.first + i, c, std::min(width, filters - c),
                         products + i * tiling.productRow);
          }
        }
      });
    };
  }

  // A task has one frequency and a few panels: its input stays in the thread's cache while the
  // filters stream through, and many threads get work.
  const size_t groups =
      std::min<size_t>(panels, std::max<size_t>((panels + kSharedPanels - 1) / kSharedPanels,
                                                static_cast<size_t>(pool_.threads()) * 8 /
                                                    static_cast<size_t>(frequencies)));
  return [=, this](const Run& run) {
    auto* inputs = reinterpret_cast<float*>(run.arena + scratch);
    float* products = inputs + frequencies * tiling.inputFrequency;
    for (ptrdiff_t index = 0; index < tiling.blockCount; ++index) {
      const WinogradBlock block = tiling.blockAt(index);
      const ptrdiff_t rows = block.last - block.first;
      const TileParts before(rows, layer.input.channels, pool_.threads());
      pool_.run(before.count(), [&](size_t task) {
        const auto [i, first, last] = before.at(task);
        if (first == 0) layer.clear(run, block.first + i, tiling.allTiles());
        layer.transform(run, block.first + i, first, last - first, inputs + i * tiling.inputRow);
      });
      const size_t tasks = block.productCount * groups;
      const auto firstPanel = [&](size_t task) -> FilterPanel {
        return {block.products[task / groups].filter, task % groups * panels / groups};
      };
      pool_.run(tasks, [&](size_t task) {
        const FrequencyRows& part = block.products[task / groups];
        const size_t end = (task % groups + 1) * panels / groups;
        const size_t following = std::min(task + 1, tasks - 1);  // a thread's tasks are neighbours
        for (size_t panel = firstPanel(task).panel; panel < end; ++panel) {
          const FilterPanel next =
              panel + 1 < end ? FilterPanel{part.filter, panel + 1} : firstPanel(following);
          layer.multiply(part, {part.filter, panel}, next, inputs,
                         products + static_cast<ptrdiff_t>(panel) * width);
        }
      });
      const TileParts after(rows, filters, pool_.threads());
      pool_.run(after.count(), [&](size_t task) {
        const auto [i, first, last] = after.at(task);
        layer.finish(run, block.first + i, first, last - first,
                     products + i * tiling.productRow + first);
      });
    }
  };
}

Work CpuExecutable::workOf(const Conv2d& op) {
  const std::optional<WinogradTiling>& tiling = choices_.winograd[op.output];
  if (!tiling) return nullptr;
  const Shape& weight = parameters_.specs()[op.weight].shape;
  const auto products =
      static_cast<double>(batch_ * tiling->down.products() * tiling->across.products()) *
      static_cast<double>(weight[0] * weight[1]);
  const auto filter = parameters_.winogradFilter(op, folded_.norms[op.output], tiling->form);
  const StepWork work{
      products, static_cast<double>(filter->bytes(static_cast<size_t>(tiling->frequencies())))};
  return [work] { return work; };
}

}  // namespace vgg::cpu
