// The tensor cores of the emulated GPU: products of registers and of swizzled shared memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "emulator/emulate.h"
#include "emulator/emulated_block.h"

namespace emulate {
namespace {

float fromHalf(uint32_t bits) {
  const auto low = static_cast<uint16_t>(bits);
  _Float16 value;
  std::memcpy(&value, &low, 2);
  return static_cast<float>(value);
}
float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

float halfAt(uint32_t word, unsigned i) { return fromHalf(word >> (16 * i)); }
float bfloatAt(uint32_t word, unsigned i) {
  return fromBits(i == 0 ? word << 16 : word & ~0xffffU);
}
/** A table of every 16-bit number. Converting each time would take longer than the products. */
using Numbers = std::vector<float>;
Numbers listNumbers(float (*convert)(uint32_t, unsigned)) {
  Numbers all(1 << 16);
  for (uint32_t bits = 0; bits < all.size(); ++bits) all[bits] = convert(bits, 0);
  return all;
}
const Numbers& halves() {
  static const auto* const all = new Numbers(listNumbers(halfAt));
  return *all;
}
const Numbers& bfloats() {
  static const auto* const all = new Numbers(listNumbers(bfloatAt));
  return *all;
}
// A tensor core reads the upper 19 bits and ignores the rest.
float tf32At(uint32_t word, unsigned /*i*/) { return fromBits(word & 0xffffe000); }

// Rows of a product, which GCC multiplies and adds whole, also at -O1.
typedef float Floats8 __attribute__((vector_size(8 * 4), aligned(4), may_alias));
typedef float Floats64 __attribute__((vector_size(64 * 4), aligned(4), may_alias));
Floats8& floats8(float* first) { return *reinterpret_cast<Floats8*>(first); }
Floats64& floats64(float* first) { return *reinterpret_cast<Floats64*>(first); }

/** Gathers the operands from all lanes' words and writes d into them. A word holds `kPacked`
 * neighbours in k. Operands of k elements take k / kPacked / 4 words per row. */
template <int kDepth, int kPacked, auto kConvert>
void multiplySlots(Slots& slots) {
  constexpr int kColumnWords = kDepth / kPacked / 4;  // a's words per row of a lane; b's words
  float a[16][kDepth];
  float b[kDepth][8];
  float d[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane / 4;
    const unsigned t = lane % 4;
    for (unsigned word = 0; word < 2 * kColumnWords; ++word) {
      for (unsigned i = 0; i < kPacked; ++i) {
        const unsigned k = (word / 2 * 4 + t) * kPacked + i;
        a[group + word % 2 * 8][k] = kConvert(slots[lane][word], i);
      }
    }
    for (unsigned word = 0; word < kColumnWords; ++word) {
      for (unsigned i = 0; i < kPacked; ++i) {
        const unsigned k = (word * 4 + t) * kPacked + i;
        b[k][group] = kConvert(slots[lane][2 * kColumnWords + word], i);
      }
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    Floats8 sums = {};
    for (unsigned k = 0; k < kDepth; ++k) sums += a[row][k] * floats8(b[k]);
    floats8(d[row]) = sums;
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      std::memcpy(&slots[lane][i], &d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2], 4);
    }
  }
}

/** Adds 16 rows of a product to d, or stores them. */
void multiplyRows(const SharedProduct& product, int firstRow, Warp& warp) {
  constexpr int kDepth = 16;
  constexpr int kColumns = 64;
  const Numbers& numbers = product.operands == Operands::kHalf16 ? halves() : bfloats();
  const std::byte* base = launchedShared();
  const auto at = [&](const SharedOperand& operand, int row, int k) {
    const auto offset = static_cast<size_t>(static_cast<const std::byte*>(operand.start) - base) +
                        static_cast<size_t>(row / 8 * operand.across + row % 8 * 128 + k * 2);
    uint16_t bits;
    std::memcpy(&bits, base + (offset ^ (offset >> 3 & 0x70)), sizeof bits);
    return numbers[bits];
  };
  float columns[kDepth][kColumns];
  for (int k = 0; k < kDepth; ++k) {
    for (int column = 0; column < kColumns; ++column) columns[k][column] = at(product.b, column, k);
  }
  for (int row = 0; row < 16; ++row) {
    Floats64 sums = {};
    if (product.adds) sums = floats64(warp.products[row]);
    for (int k = 0; k < kDepth; ++k)
      sums += at(product.a, firstRow + row, k) * floats64(columns[k]);
    floats64(warp.products[row]) = sums;
  }
}

}  // namespace

void multiply(Operands operands, float (&d)[4], std::initializer_list<uint32_t> words) {
  void (*atEnd)(Slots&) = nullptr;
  switch (operands) {
    case Operands::kHalf8:
      atEnd = multiplySlots<8, 2, halfAt>;
      break;
    case Operands::kHalf16:
      atEnd = multiplySlots<16, 2, halfAt>;
      break;
    case Operands::kBfloat16:
      atEnd = multiplySlots<16, 2, bfloatAt>;
      break;
    case Operands::kTf32:
      atEnd = multiplySlots<8, 1, tf32At>;
      break;
  }
  const auto& result = meet(Collective::kMultiply, words, atEnd)[laneIndex()];
  for (size_t i = 0; i < 4; ++i) d[i] += fromBits(result[i]);
}

void multiplyShared(Operands operands, float (&d)[32], const SharedOperand& a,
                    const SharedOperand& b, bool adds) {
  self("a product").products.push_back({operands, a, b, d, adds});
}

void endProducts() {
  Fiber& fiber = self("a product");
  if (fiber.products.empty()) return;
  Warp& warp = running->warpOf(fiber);
  if (warp.arrived == 31) {  // The last lane multiplies for all.
    const int firstRow = static_cast<int>(fiber.number / 32 % 4) * 16;
    for (auto& row : warp.products) std::fill(std::begin(row), std::end(row), 0.0F);
    for (const SharedProduct& product : fiber.products) multiplyRows(product, firstRow, warp);
  }
  meet(Collective::kMultiply, {});
  const bool adds = std::ranges::all_of(fiber.products,
                                        [](const SharedProduct& product) { return product.adds; });
  float* const d = fiber.products.front().d;
  const unsigned lane = laneIndex();
  for (unsigned i = 0; i < 32; ++i) {
    const float product = warp.products[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
    d[i] = adds ? d[i] + product : product;
  }
  fiber.products.clear();
}

}  // namespace emulate
