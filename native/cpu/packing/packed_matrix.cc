#include "cpu/packing/packed_matrix.h"

#include <algorithm>
#include <array>

#include "core/shape.h"
#include "cpu/kernels.h"

namespace vgg::cpu {
namespace {

constexpr size_t kRowBytes = 4096;  // maximum number of bytes in a row of a strip
constexpr size_t kLine = 64;

size_t elementBytes(bool isHalf) { return isHalf ? sizeof(uint16_t) : sizeof(float); }

// Only infinities and NaN have all exponent bits set.
bool isFiniteElement(uint16_t half) { return (half & 0x7c00) != 0x7c00; }
bool isFiniteElement(float value) { return value - value == 0; }

}  // namespace

/** Chooses the minimum number of strips. They share the weight's rows evenly, in whole grains. */
Strips stripsOf(size_t rows, bool isHalf) {
  const size_t count = divideUp(rows, kRowBytes / elementBytes(isHalf));
  const size_t width = divideUp(divideUp(rows, count), kStripGrain) * kStripGrain;
  return {divideUp(rows, width), width, width + kLine / elementBytes(isHalf)};
}

PackedMatrix::PackedMatrix(size_t rows, size_t columns, size_t channels, bool isHalf,
                           std::atomic<size_t>* counter)
    : rows_(rows),
      columns_(columns),
      channels_(channels),
      strips_(stripsOf(rows, isHalf)),
      isHalf_(isHalf),
      memory_(HostMemory::allocate(
          checkedMultiply(checkedMultiply(strips() * stride(), columns), elementBytes(isHalf)),
          counter)) {
  // Only the last strip has elements in its width that no row of the weight ever writes.
  if (strips() * width() == rows) return;
  const size_t stripBytes = memory_->bytes() / strips();
  std::fill_n(memory_->data() + (strips() - 1) * stripBytes, stripBytes, std::byte{0});
}

template <typename Element, typename Move>
void PackedMatrix::forEach(size_t first, size_t count, Columns columns, const Move& move) const {
  // During the reordering, an L1 cache holds one line of each of this many rows.
  constexpr size_t kTileRows = 32;
  constexpr size_t kTileColumns = kLine / sizeof(Element);
  const size_t end = first + count;
  for (size_t top = first / columns_; top * columns_ < end;) {
    // The rows of the range that lie in this strip: the first row from column `left` on, the last
    // row up to column `right`.
    const size_t strip = top / width();
    const size_t bottom = std::min((strip + 1) * width(), divideUp(end, columns_));
    const size_t left = top * columns_ < first ? first - top * columns_ : 0;
    const size_t right = std::min(columns_, end - (bottom - 1) * columns_);
    for (size_t column = columns.begin; column < columns.end;) {
      const size_t from = column < left ? top + 1 : top;
      const size_t to = column < right ? bottom : bottom - 1;
      // Columns that cover the same rows.
      size_t next = std::min(columns.end, (column / kTileColumns + 1) * kTileColumns);
      if (column < left) next = std::min(next, left);
      if (column < right) next = std::min(next, right);
      for (size_t tile = from; tile < to; tile += kTileRows) {
        const size_t tileEnd = std::min(to, tile + kTileRows);
        for (size_t c = column; c < next; ++c) {
          Element* packed = elements<Element>() + offsetOf(tile, c);
          for (size_t row = tile; row < tileEnd; ++row)
            move(packed[row - tile], row * columns_ + c - first);
        }
      }
      column = next;
    }
    top = bottom;
  }
}

size_t PackedMatrix::offsetOf(size_t row, size_t column) const {
  const size_t pixels = columns_ / channels_;
  const size_t line = column % pixels * channels_ + column / pixels;
  return (row / width() * columns_ + line) * stride() + row % width();
}

template <typename Element>
void PackedMatrix::write(size_t first, const Element* from, size_t count, Columns columns) {
  bool isFinite = true;
  forEach<Element>(first, count, columns, [&](Element& packed, size_t offset) {
    packed = from[offset];
    isFinite &= isFiniteElement(packed);
  });
  if (!isFinite) isFinite_.store(false, std::memory_order_relaxed);
}

template <typename Element>
void PackedMatrix::read(size_t first, Element* to, size_t count, Columns columns) const {
  forEach<Element>(first, count, columns,
                   [&](const Element& packed, size_t offset) { to[offset] = packed; });
}

template void PackedMatrix::write(size_t, const float*, size_t, Columns);
template void PackedMatrix::write(size_t, const uint16_t*, size_t, Columns);
template void PackedMatrix::read(size_t, float*, size_t, Columns) const;
template void PackedMatrix::read(size_t, uint16_t*, size_t, Columns) const;

}  // namespace vgg::cpu
