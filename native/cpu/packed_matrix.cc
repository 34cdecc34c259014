#include "cpu/packed_matrix.h"

#include <algorithm>

#include "core/shape.h"

namespace vgg::cpu {

PackedMatrix::PackedMatrix(const Kernels& kernels, size_t rows, size_t columns, size_t channels,
                           bool isHalf, std::atomic<size_t>* counter)
    : panelWidth_(static_cast<size_t>(kernels.panelWidth)),
      rows_(rows),
      columns_(columns),
      channels_(channels),
      panels_((rows + panelWidth_ - 1) / panelWidth_),
      isHalf_(isHalf),
      memory_(HostMemory::allocate(checkedMultiply(checkedMultiply(panels_ * panelWidth_, columns),
                                                   isHalf ? sizeof(uint16_t) : sizeof(float)),
                                   counter)) {
  // Only the last panel has lanes that no row of the weight ever writes.
  const size_t panelBytes = memory_->bytes() / panels_;
  std::fill_n(memory_->data() + (panels_ - 1) * panelBytes, panelBytes, std::byte{0});
}

template <typename Element, typename Move>
void PackedMatrix::forEach(size_t first, size_t count, Columns columns, const Move& move) const {
  const size_t end = first + count;
  const size_t pixels = columns_ / channels_;
  for (size_t at = first; at < end;) {
    const size_t row = at / columns_;
    const size_t panel = row / panelWidth_;
    Element* packed = elements<Element>() + panel * columns_ * panelWidth_;
    // As many whole rows of this panel as the range holds, or one that is cut at either end.
    size_t rows =
        at % columns_ == 0 ? std::min((end - at) / columns_, (panel + 1) * panelWidth_ - row) : 0;
    size_t left = 0;
    size_t right = columns_;
    if (rows == 0) {
      rows = 1;
      left = at % columns_;
      right = std::min(columns_, left + (end - at));
    }
    const size_t lane = row % panelWidth_;
    const size_t base = row * columns_;
    const size_t last = std::min(right, columns.end);
    // Along the rows: they are read or written line by line, and a panel's lanes are whole lines
    // wherever they lie.
    size_t column = std::max(left, columns.begin);
    size_t channel = column / pixels;
    size_t pixel = column % pixels;
    for (; column < last; ++column) {
      Element* to = packed + (pixel * channels_ + channel) * panelWidth_ + lane;
      for (size_t i = 0; i < rows; ++i) move(to[i], base + i * columns_ + column - first);
      if (++pixel == pixels) {
        pixel = 0;
        ++channel;
      }
    }
    at = base + (rows - 1) * columns_ + right;
  }
}

template <typename Element>
void PackedMatrix::write(size_t first, const Element* from, size_t count, Columns columns) {
  forEach<Element>(first, count, columns,
                   [&](Element& packed, size_t offset) { packed = from[offset]; });
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
