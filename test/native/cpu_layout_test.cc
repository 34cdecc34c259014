// Layouts on the CPU: a linear layer's weight in strips, and a convolution's output in tiles.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "cpu/instruction_set.h"
#include "cpu/ops/conv2d/winograd_tiling.h"
#include "cpu/packing/packed_matrix.h"
#include "expect.h"

namespace vgg::cpu {
namespace {

template <typename Element>
void packedMatrixKeepsEveryBit() {
  const bool isHalf = sizeof(Element) == 2;
  for (const size_t rows : {1U, 31U, 32U, 70U, 1000U, 1030U, 2100U}) {
    const size_t columns = 60;
    const size_t count = rows * columns;
    std::vector<Element> values(count);
    // Bits of finite float16 numbers.
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<Element>(i % 0x7c00);
    PackedMatrix matrix(rows, columns, 5, isHalf, nullptr);
    // Write pieces that start and end anywhere.
    for (size_t at = 0; at < count;) {
      const size_t length = std::min(count - at, at % 3 == 0 ? size_t{7} : size_t{1333});
      for (size_t i = 0; i < 3; ++i)
        matrix.write(at, values.data() + at, length, matrix.part(i, 3));
      at += length;
    }
    EXPECT(matrix.isFinite());
    std::vector<Element> back(count);
    for (size_t i = 0; i < 7; ++i) matrix.read(0, back.data(), count, matrix.part(i, 7));
    EXPECT(back == values);
    const auto packed = [&](size_t strip) {
      return static_cast<const Element*>(matrix.strip(strip).address());
    };
    // Row 0, channel 1, pixel 2 of 12 is in row 2 · 5 + 1 of the first strip.
    EXPECT(packed(0)[(2 * 5 + 1) * matrix.stride()] == values[1 * 12 + 2]);
    // The last row's last element is followed by zero.
    EXPECT(matrix.width() * sizeof(Element) <= 4096);
    const size_t last = rows - 1 - (matrix.strips() - 1) * matrix.width();
    const Element* end = packed(matrix.strips() - 1) + 59 * matrix.stride();
    EXPECT(end[last] == values[count - 1]);
    if (last + 1 < matrix.width()) EXPECT(end[last + 1] == 0);
  }
}

void packedMatrixKnowsWhatIsNotFinite() {
  const float largest = std::numeric_limits<float>::max();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const auto& [value, isFinite] : {std::pair{largest, true},
                                        {-largest, true},
                                        {infinity, false},
                                        {-infinity, false},
                                        {std::numeric_limits<float>::quiet_NaN(), false}}) {
    PackedMatrix matrix(3, 4, 4, false, nullptr);
    std::vector<float> values(12);
    values[6] = value;
    matrix.write(0, values.data(), 12, matrix.part(0, 1));
    EXPECT(matrix.isFinite() == isFinite);
  }
  for (const auto& [value, isFinite] :
       {std::pair{0x7bffU, true}, {0xfbffU, true}, {0x7c00U, false}, {0xfe00U, false}}) {
    PackedMatrix matrix(3, 4, 4, true, nullptr);
    std::vector<uint16_t> values(12);
    values[6] = static_cast<uint16_t>(value);
    matrix.write(0, values.data(), 12, matrix.part(0, 1));
    EXPECT(matrix.isFinite() == isFinite);
  }
}

/** Every pixel belongs to one tile, and each block multiplies exactly the tiles that have a
 * frequency. */
void expectCoverage(const WinogradTiling& tiling, ptrdiff_t height, ptrdiff_t width) {
  EXPECT(tiling.down.pixels() >= height && tiling.across.pixels() >= width);
  std::vector<int> covered(static_cast<size_t>(tiling.images * height * width), 0);
  ptrdiff_t next = 0;
  for (ptrdiff_t index = 0; index < tiling.blockCount; ++index) {
    const auto block = tiling.blockAt(index);
    EXPECT(block.first == next && block.last - block.first <= tiling.block);
    next = block.last;
    std::vector<ptrdiff_t> products(static_cast<size_t>(block.last - block.first), 0);
    for (size_t i = 0; i < block.productCount; ++i) {
      const auto& part = block.products[i];
      for (ptrdiff_t row = part.first; row < part.last; ++row) {
        const auto [tile, image, y, x] = tiling.positionOf(block.first + row);
        EXPECT(part.frequency / tiling.across.frequencies() < tile.down + 2);
        EXPECT(part.frequency % tiling.across.frequencies() < tile.across + 2);
        ++products[static_cast<size_t>(row)];
      }
    }
    for (ptrdiff_t i = block.first; i < block.last; ++i) {
      const auto [tile, image, top, left] = tiling.positionOf(i);
      EXPECT(products[static_cast<size_t>(i - block.first)] ==
             ptrdiff_t{tile.down + 2} * (tile.across + 2));
      for (ptrdiff_t y = top; y < std::min(top + tile.down, height); ++y) {
        for (ptrdiff_t x = left; x < std::min(left + tile.across, width); ++x)
          ++covered[static_cast<size_t>((image * height + y) * width + x)];
      }
    }
  }
  EXPECT(next == tiling.allTiles());
  EXPECT(std::all_of(covered.begin(), covered.end(), [](int times) { return times == 1; }));
}

void winogradTilingCoversTheOutput() {
  const Kernels& kernels = *availableKernels().front();
  for (const auto& [height, width, images, channels, filters] :
       std::vector<std::array<ptrdiff_t, 5>>{{14, 14, 16, 512, 512},
                                             {14, 14, 1, 512, 512},
                                             {56, 56, 1, 128, 256},
                                             {112, 112, 1, 64, 128},
                                             {15, 4, 9, 32, 32},
                                             {4, 29, 3, 32, 32},
                                             {5, 7, 2, 32, 32}}) {
    for (const bool precise : {false, true}) {
      Conv2d conv{};
      conv.precise = precise;
      const WinogradTiles tiles = chooseTiles(conv, false, height, width, images);
      EXPECT(!precise || (tiles.down.sixes == 0 && tiles.across.sixes == 0));
      for (const int threads : {1, 2, 3, 4, 16, 64, 1000}) {
        const auto tiling =
            tileWinograd({filters, channels, 3, 3}, tiles, images, kernels, threads);
        expectCoverage(tiling, height, width);
        // If each thread has its own blocks, no thread is idle, whatever fits into a cache.
        if (!tiling.isShared) EXPECT(tiling.blockCount % threads == 0 && tiling.block > 1);
      }
    }
  }
  // The second layer of VGG11 has small filters and many tiles: 64 threads need not share blocks.
  EXPECT(!tileWinograd({128, 64, 3, 3}, chooseTiles(Conv2d{}, false, 112, 112, 1), 1, kernels, 64)
              .isShared);
}

}  // namespace

void testLayout() {
  packedMatrixKeepsEveryBit<float>();
  packedMatrixKeepsEveryBit<uint16_t>();
  packedMatrixKnowsWhatIsNotFinite();
  winogradTilingCoversTheOutput();
}

}  // namespace vgg::cpu
