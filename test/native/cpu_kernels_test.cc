// Compares the CPU's inner loops with their definitions, for every instruction set of this machine
// and for vectors of AVX-512's shape, which any machine can run slowly.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cpu/instruction_set.h"

namespace vgg::cpu {
namespace wide {
extern const Kernels kernels;
}
namespace {

int failures = 0;

void expect(bool condition, const Kernels& kernels, const char* what, ptrdiff_t number) {
  if (condition) return;
  std::printf("not ok %s: %s %td\n", kernels.name, what, number);
  ++failures;
}

class Random {
 public:
  uint32_t below(uint32_t limit) { return (next() >> 8) % limit; }
  float number() { return static_cast<float>(next() >> 8) / 8388608.0F - 1.0F; }
  std::vector<float> numbers(size_t count) {
    std::vector<float> all(count);
    std::generate(all.begin(), all.end(), [this] { return number(); });
    return all;
  }

 private:
  uint32_t next() { return state_ = state_ * 1664525U + 1013904223U; }
  uint32_t state_ = 1;
};

bool isClose(float actual, double truth, double size) {
  return std::abs(actual - truth) <= 1e-6 * (std::abs(truth) + size);
}

/** Rounds the numbers to float16 in place and returns them as float16. */
std::vector<uint16_t> rounded(const Kernels& kernels, std::vector<float>& numbers) {
  std::vector<uint16_t> halves(numbers.size());
  kernels.narrow(halves.data(), numbers.data(), static_cast<ptrdiff_t>(numbers.size()));
  kernels.widen(numbers.data(), halves.data(), static_cast<ptrdiff_t>(numbers.size()));
  return halves;
}

void productsAreRight(const Kernels& kernels, bool isHalf) {
  Random random;
  for (ptrdiff_t round = 0; round < 300; ++round) {
    const auto rows = static_cast<ptrdiff_t>(1 + random.below(40));
    const int segments = static_cast<int>(1 + random.below(3));
    const auto depth = static_cast<ptrdiff_t>(1 + random.below(round % 10 == 0 ? 1200 : 60));
    const ptrdiff_t width = kernels.panelWidth;
    const ptrdiff_t stride = segments * depth + 3;
    std::vector<float> a = random.numbers(static_cast<size_t>(rows * stride));
    const ptrdiff_t apart = width + (random.below(3) == 0 ? 5 : 0);
    std::vector<float> b = random.numbers(static_cast<size_t>(segments * depth * apart));
    const std::vector<uint16_t> halves = isHalf ? rounded(kernels, b) : std::vector<uint16_t>();
    const std::vector<float> bias = random.numbers(static_cast<size_t>(width));
    const std::vector<float> before = random.numbers(static_cast<size_t>(rows * (width + 5)));
    std::vector<float> c = before;
    PanelProduct product{};
    product.a = a.data();
    product.aRowStride = stride;
    product.aSegmentStride = depth;
    product.rows = rows;
    product.segments = segments;
    product.depth = depth;
    (isHalf ? static_cast<void>(product.halfB = halves.data())
            : static_cast<void>(product.b = b.data()));
    product.bRowStride = apart;
    product.c = c.data();
    product.cRowStride = width + 5;
    product.columns = static_cast<int>(random.below(2) == 0 ? width : 1 + random.below(width));
    product.bias = random.below(2) == 0 ? nullptr : bias.data();
    product.accumulate = random.below(2) == 0;
    product.relu = random.below(2) == 0;
    kernels.multiply(product);
    bool isRight = true;
    for (ptrdiff_t row = 0; row < rows; ++row) {
      for (ptrdiff_t column = 0; column < width + 5; ++column) {
        const ptrdiff_t at = row * (width + 5) + column;
        if (column >= product.columns) {
          isRight = isRight && c[at] == before[at];
          continue;
        }
        double truth = product.accumulate ? before[at] : 0;
        if (product.bias != nullptr) truth += bias[column];
        for (ptrdiff_t k = 0; k < segments * depth; ++k)
          truth += static_cast<double>(a[row * stride + k]) * b[k * apart + column];
        if (product.relu) truth = std::max(truth, 0.0);
        isRight = isRight && isClose(c[at], truth, std::sqrt(segments * depth));
      }
    }
    expect(isRight, kernels, isHalf ? "product with halves, round" : "product, round", round);
  }
}

/** Each row has the same bits in a product of any number of rows: threads split the rows. */
void rowsDoNotChangeEachOther(const Kernels& kernels) {
  Random random;
  const ptrdiff_t width = kernels.panelWidth;
  for (const ptrdiff_t depth : {1, 7, 64, 515, 1100}) {
    for (ptrdiff_t rows = 1; rows <= 2 * kernels.maxRows + 3; ++rows) {
      const std::vector<float> a = random.numbers(static_cast<size_t>(rows * depth));
      const std::vector<float> b = random.numbers(static_cast<size_t>(depth * width));
      std::vector<float> together(static_cast<size_t>(rows * width));
      std::vector<float> alone(together.size());
      PanelProduct product{};
      product.a = a.data();
      product.aRowStride = depth;
      product.rows = rows;
      product.segments = 1;
      product.depth = depth;
      product.b = b.data();
      product.bRowStride = width;
      product.c = together.data();
      product.cRowStride = width;
      product.columns = static_cast<int>(width);
      kernels.multiply(product);
      product.rows = 1;
      for (ptrdiff_t row = 0; row < rows; ++row) {
        product.a = a.data() + row * depth;
        product.c = alone.data() + row * width;
        kernels.multiply(product);
      }
      expect(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)) == 0,
             kernels, "rows alone and together,", rows);
    }
  }
}

void stripsAreRight(const Kernels& kernels, bool isHalf) {
  Random random;
  for (ptrdiff_t round = 0; round < 300; ++round) {
    const bool isListed = random.below(2) == 0;
    const auto rows = static_cast<ptrdiff_t>(1 + random.below(isListed ? kStreamedRows : 60));
    const auto lines = static_cast<ptrdiff_t>(1 + random.below(round % 10 == 0 ? 300 : 30));
    const ptrdiff_t width = kStripGrain * static_cast<ptrdiff_t>(1 + random.below(4));
    const ptrdiff_t bRowStride = width + kStripGrain * static_cast<ptrdiff_t>(random.below(2));
    const ptrdiff_t aRowStride = lines + 3;
    const ptrdiff_t cRowStride = width + 5;
    const std::vector<float> a = random.numbers(static_cast<size_t>(rows * aRowStride));
    std::vector<float> b = random.numbers(static_cast<size_t>(lines * bRowStride));
    const std::vector<uint16_t> halves = isHalf ? rounded(kernels, b) : std::vector<uint16_t>();
    std::vector<int32_t> rowsOfB;
    for (int32_t line = 0; isListed && line < lines; ++line) {
      if (random.below(3) != 0) rowsOfB.push_back(line);
    }
    std::vector<float> c(static_cast<size_t>(rows * cRowStride), 77.0F);
    StripProduct product{};
    product.a = a.data();
    product.aRowStride = aRowStride;
    product.rows = rows;
    product.depth = isListed ? static_cast<ptrdiff_t>(rowsOfB.size()) : lines;
    rowsOfB.push_back(0);  // An empty list is a list too.
    product.rowsOfB = isListed ? rowsOfB.data() : nullptr;
    (isHalf ? static_cast<void>(product.halfB = halves.data())
            : static_cast<void>(product.b = b.data()));
    product.bRowStride = bRowStride;
    product.width = width;
    product.c = c.data();
    product.cRowStride = cRowStride;
    kernels.multiplyStrip(product);
    bool isRight = true;
    for (ptrdiff_t row = 0; row < rows; ++row) {
      for (ptrdiff_t column = 0; column < cRowStride; ++column) {
        const float sum = c[row * cRowStride + column];
        double truth = 0;
        for (ptrdiff_t k = 0; column < width && k < product.depth; ++k) {
          const ptrdiff_t line = isListed ? rowsOfB[k] : k;
          truth += static_cast<double>(a[row * aRowStride + k]) * b[line * bRowStride + column];
        }
        isRight =
            isRight && (column < width ? isClose(sum, truth, std::sqrt(lines)) : sum == 77.0F);
      }
    }
    expect(isRight, kernels, isHalf ? "strip of halves, round" : "strip, round", round);
  }
}

void pooledProductsAreRight(const Kernels& kernels) {
  Random random;
  for (ptrdiff_t round = 0; round < 100; ++round) {
    const auto rows = static_cast<ptrdiff_t>(1 + random.below(9));
    const auto depth = static_cast<ptrdiff_t>(1 + random.below(round % 10 == 0 ? 700 : 20));
    const ptrdiff_t width = kernels.panelWidth;
    const ptrdiff_t line = 2 * rows * depth;
    const std::vector<float> a = random.numbers(static_cast<size_t>(2 * line));
    const std::vector<float> b = random.numbers(static_cast<size_t>(depth * width));
    const std::vector<float> bias = random.numbers(static_cast<size_t>(width));
    std::vector<float> c(static_cast<size_t>(rows * width));
    PooledPanelProduct product{};
    product.a = a.data();
    product.aRowStride = depth;
    product.aLineStride = line;
    product.rows = rows;
    product.segments = 1;
    product.depth = depth;
    product.b = b.data();
    product.bRowStride = width;
    product.c = c.data();
    product.cRowStride = width;
    product.columns = static_cast<int>(width);
    product.bias = bias.data();
    product.relu = round % 2 == 0;
    kernels.multiplyAndPool(product);
    bool isRight = true;
    for (ptrdiff_t row = 0; row < rows; ++row) {
      for (ptrdiff_t column = 0; column < width; ++column) {
        double greatest = -INFINITY;
        for (ptrdiff_t pixel = 0; pixel < 4; ++pixel) {
          const float* from = a.data() + pixel / 2 * line + (2 * row + pixel % 2) * depth;
          double sum = bias[column];
          for (ptrdiff_t k = 0; k < depth; ++k)
            sum += static_cast<double>(from[k]) * b[k * width + column];
          greatest = std::max(greatest, sum);
        }
        if (product.relu) greatest = std::max(greatest, 0.0);
        isRight = isRight && isClose(c[row * width + column], greatest, std::sqrt(depth));
      }
    }
    expect(isRight, kernels, "pooled product, round", round);
  }
}

/** Tests both transforms with filters that pick pixel (v, u), transformed by the definition. */
void winogradIsRight(const Kernels& kernels, WinogradTile tile) {
  // The matrix G. The shorter tile uses its first rows.
  const double g[8][3] = {{1, 0, 0},
                          {1 / 90.0, 2 / 90.0, 4 / 90.0},
                          {1 / 90.0, -2 / 90.0, 4 / 90.0},
                          {32 / 45.0, 16 / 45.0, 8 / 45.0},
                          {32 / 45.0, -16 / 45.0, 8 / 45.0},
                          {0, 0, 1},
                          {-2 / 9.0, -2 / 9.0, -2 / 9.0},
                          {-2 / 9.0, 2 / 9.0, -2 / 9.0}};
  Random random;
  const ptrdiff_t channels = 2 * kernels.lanes;
  const ptrdiff_t down = tile.down + 2;
  const ptrdiff_t across = tile.across + 2;
  const ptrdiff_t row = across * channels;  // Floats in a row of pixels or frequencies.
  const double amplified = 100;             // The largest intermediate sum.
  const std::vector<float> image = random.numbers(static_cast<size_t>(down * row));
  const std::vector<float> bias = random.numbers(static_cast<size_t>(channels));
  for (int pick = 0; pick < 9; ++pick) {
    std::vector<float> frequencies(image.size());
    kernels.winogradInput(
        {tile, image.data(), row, channels, frequencies.data(), row, channels, channels});
    for (ptrdiff_t f = 0; f < down * across; ++f) {
      const double factor = g[f / across][pick / 3] * g[f % across][pick % 3];
      for (ptrdiff_t c = 0; c < channels; ++c)
        frequencies[f * channels + c] *= static_cast<float>(factor);
    }
    for (const bool pool : {false, true}) {
      const int rows = pool ? tile.down / 2 : tile.down;
      const int columns = pool ? tile.across / 2 : tile.across;
      for (int size = 1; size <= std::max(rows, columns); ++size) {
        const int rowsAsked = std::min(size, rows);
        const int columnsAsked = std::min(size, columns);
        std::vector<float> to(static_cast<size_t>(rows * columns * channels), 77.0F);
        kernels.winogradOutput({tile, frequencies.data(), row, channels, channels, to.data(),
                                columns * channels, channels, rowsAsked, columnsAsked, bias.data(),
                                pick % 2 == 0, pool});
        bool isRight = true;
        for (ptrdiff_t i = 0; i < rows * columns * channels; ++i) {
          const ptrdiff_t c = i % channels;
          const ptrdiff_t x = i / channels % columns;
          const ptrdiff_t y = i / channels / columns;
          const auto at = [&](ptrdiff_t v, ptrdiff_t u) {
            return image[(v + pick / 3) * row + (u + pick % 3) * channels + c];
          };
          double truth = pool ? std::max({at(2 * y, 2 * x), at(2 * y, 2 * x + 1),
                                          at(2 * y + 1, 2 * x), at(2 * y + 1, 2 * x + 1)})
                              : at(y, x);
          truth += bias[c];
          if (pick % 2 == 0) truth = std::max(truth, 0.0);
          const bool isAsked = x < columnsAsked && y < rowsAsked;
          isRight = isRight && (isAsked ? isClose(to[i], truth, amplified) : to[i] == 77.0F);
        }
        expect(isRight, kernels, pool ? "pooled Winograd, filter" : "Winograd, filter", pick);
      }
    }
  }
}

void halvesAreExact(const Kernels& kernels) {
  std::vector<uint16_t> halves(1 << 16);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> floats(halves.size());
  std::vector<uint16_t> back(halves.size());
  kernels.widen(floats.data(), halves.data(), static_cast<ptrdiff_t>(halves.size()));
  kernels.narrow(back.data(), floats.data(), static_cast<ptrdiff_t>(floats.size()));
  ptrdiff_t wrong = 0;
  for (size_t i = 0; i < halves.size(); ++i) {
    const bool isNan = (i & 0x7c00) == 0x7c00 && (i & 0x3ff) != 0;
    const bool isRight =
        isNan ? std::isnan(floats[i]) && (back[i] & 0x7fff) > 0x7c00 : back[i] == halves[i];
    wrong += isRight ? 0 : 1;
  }
  expect(wrong == 0, kernels, "halves that differ after a round trip:", wrong);
  const float numbers[] = {65504, 65520, -65520, 2049, 2051, 1e-8F, 3.1e-8F, 0.1F, -0.0F};
  const uint16_t truth[] = {0x7bff, 0x7c00, 0xfc00, 0x6800, 0x6802, 0, 1, 0x2e66, 0x8000};
  uint16_t narrowed[std::size(numbers)];
  kernels.narrow(narrowed, numbers, std::size(numbers));
  expect(std::memcmp(narrowed, truth, sizeof truth) == 0, kernels, "rounding to halves", 0);
}

}  // namespace

int testKernels() {
  std::vector<const Kernels*> all = availableKernels();
  all.push_back(&wide::kernels);
  for (const Kernels* kernels : all) {
    productsAreRight(*kernels, false);
    rowsDoNotChangeEachOther(*kernels);
    stripsAreRight(*kernels, false);
    pooledProductsAreRight(*kernels);
    for (const int down : kWinogradSides) {
      for (const int across : kWinogradSides) winogradIsRight(*kernels, {down, across});
    }
    if (kernels->narrow == nullptr) continue;
    productsAreRight(*kernels, true);
    stripsAreRight(*kernels, true);
    halvesAreExact(*kernels);
  }
  return failures;
}

}  // namespace vgg::cpu
