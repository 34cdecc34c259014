#include "cpu/packed_matrix.h"

#include <algorithm>

#include "core/shape.h"

namespace vgg::cpu {

PackedMatrix::PackedMatrix(const Kernels& kernels, size_t rows, size_t columns, size_t channels,
                           std::atomic<size_t>* counter)
    : panelWidth_(static_cast<size_t>(kernels.panelWidth)),
      rows_(rows),
      columns_(columns),
      channels_(channels),
      panels_((rows + panelWidth_ - 1) / panelWidth_),
      memory_(HostMemory::allocate(
          checkedMultiply(checkedMultiply(panels_ * panelWidth_, columns), sizeof(float)),
          counter)) {
  // Only the last panel has lanes that no row of the weight ever writes.
  std::fill_n(memory_->floats() + (panels_ - 1) * columns_ * panelWidth_, columns_ * panelWidth_,
              0.0F);
}

template <typename Move>
void PackedMatrix::forEach(size_t first, size_t count, Columns columns, const Move& move) const {
  const size_t end = first + count;
  const size_t pixels = columns_ / channels_;
  for (size_t at = first; at < end;) {
    const size_t row = at / columns_;
    const size_t panel = row / panelWidth_;
    float* packed = memory_->floats() + panel * columns_ * panelWidth_;
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
      float* to = packed + (pixel * channels_ + channel) * panelWidth_ + lane;
      for (size_t i = 0; i < rows; ++i) move(to[i], base + i * columns_ + column - first);
      if (++pixel == pixels) {
        pixel = 0;
        ++channel;
      }
    }
    at = base + (rows - 1) * columns_ + right;
  }
}

void PackedMatrix::write(size_t first, const float* from, size_t count, Columns columns) {
  forEach(first, count, columns, [&](float& packed, size_t offset) { packed = from[offset]; });
}

void PackedMatrix::read(size_t first, float* to, size_t count, Columns columns) const {
  forEach(first, count, columns, [&](const float& packed, size_t offset) { to[offset] = packed; });
}

}  // namespace vgg::cpu
