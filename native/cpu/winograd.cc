#include "cpu/winograd.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "core/shape.h"
#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

constexpr int kMostInput = 8;  // pixels across the input of the largest tile

/** G of F(side × side, 3 × 3) for the points of kernels/winograd.cc: side + 2 rows. */
const double (*filterTransform(int side))[3] {
  static const double kA = std::sqrt(0.5);
  static const double kB = std::sqrt(2.0);
  static const double four[6][3] = {{1, 0, 0},
                                    {-1 / 1.5, -kA / 1.5, -0.5 / 1.5},
                                    {-1 / 1.5, kA / 1.5, -0.5 / 1.5},
                                    {1 / 6.0, kB / 6, 2 / 6.0},
                                    {1 / 6.0, -kB / 6, 2 / 6.0},
                                    {0, 0, 1}};
  static const double six[8][3] = {{1, 0, 0},
                                   {-2 / 9.0, -2 / 9.0, -2 / 9.0},
                                   {-2 / 9.0, 2 / 9.0, -2 / 9.0},
                                   {1 / 90.0, 2 / 90.0, 4 / 90.0},
                                   {1 / 90.0, -2 / 90.0, 4 / 90.0},
                                   {32 / 45.0, 16 / 45.0, 8 / 45.0},
                                   {32 / 45.0, -16 / 45.0, 8 / 45.0},
                                   {0, 0, 1}};
  return side == 4 ? four : six;
}

/** filter → G·filter·Gᵀ in double, (side + 2)² numbers. */
void transformFilter(int side, const float* filter, double scale, double* to) {
  const auto* g = filterTransform(side);
  const int rows = side + 2;
  double half[kMostInput][3];
  for (int i = 0; i < rows; ++i) {
    for (int x = 0; x < 3; ++x) {
      half[i][x] = g[i][0] * filter[x] + g[i][1] * filter[3 + x] + g[i][2] * filter[6 + x];
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < rows; ++j) {
      to[i * rows + j] =
          scale * (half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
    }
  }
}

// Filters that each thread may read again for each block of its own: from a cache that all share.
constexpr size_t kMostOwnFilterBytes = size_t{4} << 20;
constexpr ptrdiff_t kSharedBlockTiles = 112;
constexpr size_t kMostPanelWidth = 32;
constexpr ptrdiff_t kSharedPanels = 16;  // for which a thread multiplies one frequency at a time

/** What a thread's own block may take: most of its second cache, filters pass by in the rest. */
ptrdiff_t ownBlockFloats() {
  static const ptrdiff_t floats = [] {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return (bytes > 0 ? bytes : 512L << 10) * 3 / 4 / static_cast<long>(sizeof(float));
  }();
  return floats;
}

ptrdiff_t divideUp(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/** A stride that is an odd number of cache lines: rows then fall into different sets. */
ptrdiff_t oddLines(ptrdiff_t floats) {
  const ptrdiff_t kLine = 16;
  return (divideUp(floats, kLine) | 1) * kLine;
}

}  // namespace

WinogradFilter::WinogradFilter(const Kernels& kernels, int side, size_t filters, size_t channels,
                               bool isHalf, std::atomic<size_t>* counter)
    : kernels_(kernels),
      side_(side),
      panelWidth_(static_cast<size_t>(kernels.panelWidth)),
      filters_(filters),
      channels_(channels),
      panels_((filters + panelWidth_ - 1) / panelWidth_),
      isHalf_(isHalf),
      weight_(HostMemory::allocate(checkedMultiply(checkedMultiply(panels_ * panelWidth_, channels),
                                                   static_cast<size_t>(frequenciesOf(side)) *
                                                       (isHalf ? sizeof(uint16_t) : sizeof(float))),
                                   counter)),
      bias_(HostMemory::allocate(panels_ * panelWidth_ * sizeof(float), counter)) {}

void WinogradFilter::pack(const FilterSource& source, ThreadPool& pool) {
  pool.run(panels_, [&](size_t panel) {
    const size_t first = panel * panelWidth_;
    const size_t lanes = std::min(panelWidth_, filters_ - first);
    std::array<FilterScale, kMostPanelWidth> scales{};
    for (size_t lane = 0; lane < panelWidth_; ++lane) {
      if (lane < lanes) scales[lane] = scaleOf(source, first + lane);
      bias_->floats()[first + lane] = static_cast<float>(scales[lane].shift);
    }
    // A row of the panel for each frequency, which then goes to its place at once.
    std::vector<std::array<float, kMostPanelWidth>> rows(frequenciesOf(side_));
    for (size_t c = 0; c < channels_; ++c) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        double frequencies[kMostInput * kMostInput];
        transformFilter(side_, source.weight + ((first + lane) * channels_ + c) * 9,
                        scales[lane].scale, frequencies);
        for (size_t f = 0; f < rows.size(); ++f) rows[f][lane] = static_cast<float>(frequencies[f]);
      }
      for (size_t f = 0; f < rows.size(); ++f) {
        const size_t to = ((f * panels_ + panel) * channels_ + c) * panelWidth_;
        if (isHalf_) {
          kernels_.narrow(reinterpret_cast<uint16_t*>(weight_->data()) + to, rows[f].data(),
                          static_cast<ptrdiff_t>(panelWidth_));
        } else {
          std::copy_n(rows[f].data(), panelWidth_, weight_->floats() + to);
        }
      }
    }
  });
}

int winogradSide(const Conv2d& conv, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                 const Kernels& kernels) {
  const auto lanes = static_cast<uint64_t>(kernels.lanes);
  if (weight[2] != 3 || weight[3] != 3 || conv.stride != 1) return 0;
  if (weight[0] % lanes != 0 || weight[1] % lanes != 0) return 0;
  // A tile takes a product for each frequency, against 9 for each pixel, and the transforms
  // besides.
  const auto products = [&](int side) {
    return divideUp(height, side) * divideUp(width, side) * frequenciesOf(side);
  };
  if (products(4) * 3 > height * width * 9 * 2) return 0;
  return products(6) * 20 <= products(4) * 19 ? 6 : 4;  // its filters take 64 / 36 of the memory
}

WinogradPlan planWinograd(int side, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                          ptrdiff_t images, const Kernels& kernels, int threads) {
  const auto filters = static_cast<ptrdiff_t>(weight[0]);
  const auto channels = static_cast<ptrdiff_t>(weight[1]);
  WinogradPlan plan{};
  plan.side = side;
  plan.tilesDown = divideUp(height, side);
  plan.tilesAcross = divideUp(width, side);
  const ptrdiff_t tiles = plan.tiles() * images;
  plan.inputRow = oddLines(channels);
  // A block of its own for each thread: its input and the products of one panel stay in its cache,
  // and the filters are read again for each block.
  const ptrdiff_t perTile = plan.frequencies() * (plan.inputRow + kernels.panelWidth);
  const ptrdiff_t own = ownBlockFloats() / perTile / kernels.maxRows * kernels.maxRows;
  const size_t filterBytes =
      elementCount(weight) / 9 * static_cast<size_t>(plan.frequencies()) * sizeof(float);
  plan.isShared = filterBytes > kMostOwnFilterBytes || own == 0 || tiles < own * threads * 2;
  if (plan.isShared) {
    const ptrdiff_t blocks = divideUp(tiles, kSharedBlockTiles);
    plan.block = divideUp(tiles, blocks);
    plan.productRow = oddLines(divideUp(filters, kernels.panelWidth) * kernels.panelWidth);
  } else {
    const ptrdiff_t rounds = divideUp(tiles, own * threads);
    plan.block = std::min(own, divideUp(tiles, rounds * threads));
    plan.productRow = kernels.panelWidth;
  }
  plan.inputFrequency = plan.block * plan.inputRow + 16;
  plan.productFrequency = plan.block * plan.productRow + 16;
  return plan;
}

namespace {

/** One layer at work: what its tasks share. */
struct Layer {
  const Kernels& kernels;
  WinogradPlan plan;
  Buffer input, output;
  std::shared_ptr<const WinogradFilter> filter;
  ptrdiff_t padding;
  bool relu, pool;

  /** Channels [c, c + channels) of tile `tile` of the run → row `row` of the block at `to`. */
  void transform(const Run& run, ptrdiff_t tile, ptrdiff_t c, ptrdiff_t channels, float* to) const {
    const auto [n, y, x] = locate(run, tile);
    kernels.winogradInput({plan.side, input.pixel(run.arena, n, y - padding, x - padding) + c,
                           input.rowStride(), input.channels, to + c, plan.inputFrequency,
                           channels});
  }

  /** rows × channels at `a` times a panel → rows × panelWidth at `c`; `next` is asked for
   * meanwhile.
   */
  void multiply(FilterPanel panel, FilterPanel next, ptrdiff_t rows, const float* a,
                float* c) const {
    PanelProduct product{};
    product.a = a;
    product.aRowStride = plan.inputRow;
    product.rows = rows;
    product.segments = 1;
    product.depth = input.channels;
    const PanelElements b = filter->at(panel);
    product.b = b.floats;
    product.halfB = b.halves;
    product.next = filter->at(next).address();
    product.c = c;
    product.cRowStride = plan.productRow;
    product.columns = kernels.panelWidth;
    kernels.multiply(product);
  }

  /** Row of the products at `from` → channels [c, c + channels) of tile `tile` of the run. */
  void finish(const Run& run, ptrdiff_t tile, ptrdiff_t c, ptrdiff_t channels,
              const float* from) const {
    const auto [n, top, left] = locate(run, tile);
    const ptrdiff_t side = pool ? plan.side / 2 : plan.side;
    const ptrdiff_t y = pool ? top / 2 : top;
    const ptrdiff_t x = pool ? left / 2 : left;
    const ptrdiff_t rows = std::min(side, output.height - y);
    const ptrdiff_t columns = std::min(side, output.width - x);
    if (rows <= 0 || columns <= 0) return;
    kernels.winogradOutput({plan.side, from, plan.productFrequency, channels,
                            output.pixel(run.arena, n, y, x) + c, output.rowStride(),
                            output.channels, static_cast<int>(rows), static_cast<int>(columns),
                            filter->bias() + c, relu, pool});
  }

 private:
  struct Place {
    ptrdiff_t n, y, x;
  };
  [[nodiscard]] Place locate(const Run& run, ptrdiff_t tile) const {
    const ptrdiff_t inImage = tile % plan.tiles();
    return {run.first + tile / plan.tiles(), inImage / plan.tilesAcross * plan.side,
            inImage % plan.tilesAcross * plan.side};
  }
};

}  // namespace

Step CpuExecutable::prepareWinograd(const Conv2d& op, const WinogradPlan& plan) {
  const size_t scratch = scratch_[op.output];
  const Layer layer{kernels_,
                    plan,
                    buffer(op.input),
                    buffer(op.output),
                    parameters_.winogradFilter(op, plan.side),
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
      const ptrdiff_t tiles = plan.tiles() * (run.last - run.first);
      const auto blocks = static_cast<size_t>(divideUp(tiles, plan.block));
      pool_.run(blocks, [&](size_t block, size_t thread) {
        auto* inputs = reinterpret_cast<float*>(run.arena + scratch) + thread * plan.blockFloats();
        float* products = inputs + frequencies * plan.inputFrequency;
        const auto index = static_cast<ptrdiff_t>(block);
        const auto count = static_cast<ptrdiff_t>(blocks);
        const ptrdiff_t first = index * tiles / count;
        const ptrdiff_t rows = (index + 1) * tiles / count - first;
        for (ptrdiff_t i = 0; i < rows; ++i) {
          layer.transform(run, first + i, 0, layer.input.channels, inputs + i * plan.inputRow);
        }
        for (size_t panel = 0; panel < panels; ++panel) {
          for (ptrdiff_t f = 0; f < frequencies; ++f) {
            const auto frequency = static_cast<size_t>(f);
            const FilterPanel next = f + 1 < frequencies ? FilterPanel{frequency + 1, panel}
                                                         : FilterPanel{0, (panel + 1) % panels};
            layer.multiply({frequency, panel}, next, rows, inputs + f * plan.inputFrequency,
                           products + f * plan.productFrequency);
          }
          const ptrdiff_t c = static_cast<ptrdiff_t>(panel) * width;
          for (ptrdiff_t i = 0; i < rows; ++i) {
            layer.finish(run, first + i, c, std::min(width, filters - c),
                         products + i * plan.productRow);
          }
        }
      });
    };
  }

  // Tasks of one frequency and a few panels: its input stays in a thread's cache while the filters
  // pass by, and many threads find work.
  const size_t groups = std::min<size_t>(
      panels, std::max<size_t>(
                  divideUp(static_cast<ptrdiff_t>(panels), kSharedPanels),
                  static_cast<size_t>(pool_.threads()) * 8 / static_cast<size_t>(frequencies)));
  return [=, this](const Run& run) {
    clear(run);
    auto* inputs = reinterpret_cast<float*>(run.arena + scratch);
    float* products = inputs + frequencies * plan.inputFrequency;
    const ptrdiff_t tiles = plan.tiles() * (run.last - run.first);
    for (ptrdiff_t first = 0; first < tiles; first += plan.block) {
      const ptrdiff_t rows = std::min(plan.block, tiles - first);
      pool_.run(static_cast<size_t>(rows), [&](size_t task) {
        const auto i = static_cast<ptrdiff_t>(task);
        layer.transform(run, first + i, 0, layer.input.channels, inputs + i * plan.inputRow);
      });
      pool_.run(static_cast<size_t>(frequencies) * groups, [&](size_t task) {
        const size_t frequency = task / groups;
        const auto f = static_cast<ptrdiff_t>(frequency);
        const size_t group = task % groups;
        const size_t end = (group + 1) * panels / groups;
        for (size_t panel = group * panels / groups; panel < end; ++panel) {
          layer.multiply(
              {frequency, panel}, {frequency, std::min(panel + 1, end - 1)}, rows,
              inputs + f * plan.inputFrequency,
              products + f * plan.productFrequency + static_cast<ptrdiff_t>(panel) * width);
        }
      });
      pool_.run(static_cast<size_t>(rows), [&](size_t task) {
        const auto i = static_cast<ptrdiff_t>(task);
        layer.finish(run, first + i, 0, filters, products + i * plan.productRow);
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
  const auto products = static_cast<double>(batch_ * plan->tiles() * plan->frequencies()) *
                        static_cast<double>(weight[0] * weight[1]);
  return StepWork{products,
                  static_cast<double>(parameters_.winogradFilter(*conv, plan->side)->bytes())};
}

}  // namespace vgg::cpu
