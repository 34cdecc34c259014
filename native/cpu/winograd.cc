// 3 × 3 convolutions of stride 1 by Winograd's F(m × n, 3 × 3): up to 64 products of matrices in
// place of one, with a quarter or less of the multiplications.
#include <algorithm>
#include <optional>

#include "cpu/executable.h"
#include "cpu/winograd_filter.h"
#include "cpu/winograd_plan.h"

namespace vgg::cpu {
namespace {

constexpr size_t kSharedPanels = 16;  // for which a thread multiplies one frequency at a time

/** One layer at work: what its tasks share. */
struct Layer {
  const Kernels& kernels;
  WinogradPlan plan;
  Buffer input, output;
  std::shared_ptr<const WinogradFilter> filter;
  ptrdiff_t padding;
  bool relu, pool;

  /** Tile `tile` of the run → a row of each frequency of the block, the first at `to`. */
  void transform(const Run& run, ptrdiff_t tile, float* to) const {
    const auto [shape, n, y, x] = plan.place(tile);
    kernels.winogradInput({shape, input.pixel(run.arena, run.first + n, y - padding, x - padding),
                           input.rowStride(), input.channels, to,
                           plan.across.frequencies() * plan.inputFrequency, plan.inputFrequency,
                           input.channels});
  }

  /** What the block holds of a frequency at `inputs` times a panel of filters → panelWidth columns
   * at `products`; `next` is asked for meanwhile. */
  void multiply(const FrequencyRows& rows, FilterPanel panel, FilterPanel next, const float* inputs,
                float* products) const {
    PanelProduct product{};
    product.a = inputs + rows.frequency * plan.inputFrequency + rows.first * plan.inputRow;
    product.aRowStride = plan.inputRow;
    product.rows = rows.last - rows.first;
    product.segments = 1;
    product.depth = input.channels;
    const PanelElements b = filter->at(panel);
    product.b = b.floats;
    product.halfB = b.halves;
    product.next = filter->at(next).address();
    product.c = products + rows.frequency * plan.productFrequency + rows.first * plan.productRow;
    product.cRowStride = plan.productRow;
    product.columns = kernels.panelWidth;
    kernels.multiply(product);
  }

  /** Row of the products at `from` → channels [c, c + channels) of tile `tile` of the run. */
  void finish(const Run& run, ptrdiff_t tile, ptrdiff_t c, ptrdiff_t channels,
              const float* from) const {
    const auto [shape, n, top, left] = plan.place(tile);
    const int shrink = pool ? 2 : 1;
    const ptrdiff_t y = top / shrink;
    const ptrdiff_t x = left / shrink;
    const ptrdiff_t rows = std::min<ptrdiff_t>(shape.down / shrink, output.height - y);
    const ptrdiff_t columns = std::min<ptrdiff_t>(shape.across / shrink, output.width - x);
    if (rows <= 0 || columns <= 0) return;
    kernels.winogradOutput({shape, from, plan.across.frequencies() * plan.productFrequency,
                            plan.productFrequency, channels,
                            output.pixel(run.arena, run.first + n, y, x) + c, output.rowStride(),
                            output.channels, static_cast<int>(rows), static_cast<int>(columns),
                            filter->bias() + c, relu, pool});
  }
};

}  // namespace

Step CpuExecutable::prepareWinograd(const Conv2d& op, const WinogradPlan& plan) {
  const size_t scratch = scratch_[op.output];
  const Layer layer{kernels_,
                    plan,
                    buffer(op.input),
                    buffer(op.output),
                    parameters_.winogradFilter(op, plan.form),
                    op.padding,
                    op.relu,
                    op.pool};
  const ptrdiff_t width = kernels_.panelWidth;
  const ptrdiff_t filters = layer.output.channels;
  const auto panels = layer.filter->panels();
  const ptrdiff_t frequencies = plan.frequencies();

  const auto clear = [=, this](const Run& run) {
    const Buffer& output = layer.output;
    for (ptrdiff_t n = run.first; n < run.last; ++n)
      clearBorder(output, run.arena, n, 0, output.height);
  };

  if (!plan.isShared) {
    return [=, this](const Run& run) {
      clear(run);
      pool_.run(static_cast<size_t>(plan.blockCount), [&](size_t index, size_t thread) {
        const WinogradBlock block = plan.blockAt(static_cast<ptrdiff_t>(index));
        auto* inputs = reinterpret_cast<float*>(run.arena + scratch) + thread * plan.blockFloats();
        float* products = inputs + frequencies * plan.inputFrequency;
        const ptrdiff_t rows = block.last - block.first;
        for (ptrdiff_t i = 0; i < rows; ++i) {
          layer.transform(run, block.first + i, inputs + i * plan.inputRow);
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
                         products + i * plan.productRow);
          }
        }
      });
    };
  }

  // Tasks of one frequency and a few panels: its input stays in a thread's cache while the filters
  // pass by, and many threads find work.
  const size_t groups =
      std::min<size_t>(panels, std::max<size_t>((panels + kSharedPanels - 1) / kSharedPanels,
                                                static_cast<size_t>(pool_.threads()) * 8 /
                                                    static_cast<size_t>(frequencies)));
  return [=, this](const Run& run) {
    clear(run);
    auto* inputs = reinterpret_cast<float*>(run.arena + scratch);
    float* products = inputs + frequencies * plan.inputFrequency;
    for (ptrdiff_t index = 0; index < plan.blockCount; ++index) {
      const WinogradBlock block = plan.blockAt(index);
      const auto rows = static_cast<size_t>(block.last - block.first);
      pool_.run(rows, [&](size_t task) {
        const auto i = static_cast<ptrdiff_t>(task);
        layer.transform(run, block.first + i, inputs + i * plan.inputRow);
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
      pool_.run(rows, [&](size_t task) {
        const auto i = static_cast<ptrdiff_t>(task);
        layer.finish(run, block.first + i, 0, filters, products + i * plan.productRow);
      });
    }
  };
}

std::optional<StepWork> CpuExecutable::workOf(const Op& op) const {
  const auto* conv = std::get_if<Conv2d>(&op);
  if (conv == nullptr) return std::nullopt;
  const std::optional<WinogradPlan>& plan = winograd_[conv->output];
  if (!plan) return std::nullopt;
  const Shape& weight = parameters_.specs()[conv->weight].shape;
  const auto products =
      static_cast<double>(batch_ * plan->down.products() * plan->across.products()) *
      static_cast<double>(weight[0] * weight[1]);
  const auto filter = parameters_.winogradFilter(*conv, plan->form);
  return StepWork{products,
                  static_cast<double>(filter->bytes(static_cast<size_t>(plan->frequencies())))};
}

}  // namespace vgg::cpu
