// A linear layer's weight in the order that the kernels read. It is only a permutation of (O, I),
// so it is the only copy of the parameter on the device: 133 M values are never stored twice.
#pragma once

#include <atomic>
#include <memory>

#include "core/memory/host_memory.h"

namespace vgg::cpu {

/** Packed elements in their stored type. The other pointer is null. */
struct PackedElements {
  const float* floats;
  const uint16_t* halves;

  [[nodiscard]] const void* address() const {
    return halves != nullptr ? static_cast<const void*>(halves) : floats;
  }
};

/** The strips that the rows of a weight are cut into. */
struct Strips {
  size_t count;
  size_t width;   // elements in a row of a strip
  size_t stride;  // elements from row to row of a strip
};
/** isHalf: stored in float16. */
Strips stripsOf(size_t rows, bool isHalf);

/**
 * weight (O, I) → [strips][I][stride]. The first `width` elements of a row are used; elements past
 * O are zero. The weights of one input are contiguous, about 4 KiB in each strip, so that they are
 * read as fast alone as with their neighbours. A cache line between the rows keeps them from
 * mapping to few cache sets. If the input of the layer was flattened from (channels, pixels),
 * column c·pixels + p becomes row p·channels + c of a strip, because activations are stored
 * channels last.
 */
class PackedMatrix {
 public:
  /** isHalf: stored in float16. */
  PackedMatrix(size_t rows, size_t columns, size_t channels, bool isHalf,
               std::atomic<size_t>* counter);

  /** Columns [begin, end) of the row-major weight. Threads split a range of elements by columns. */
  struct Columns {
    size_t begin, end;
  };
  [[nodiscard]] Columns part(size_t index, size_t parts) const {
    return {columns_ * index / parts, columns_ * (index + 1) / parts};
  }

  /** Writes the elements [first, first + count) of the row-major weight that lie in the given
   * columns: float, or uint16_t if isHalf. Threads may write different columns or different rows.
   */
  template <typename Element>
  void write(size_t first, const Element* from, size_t count, Columns columns);
  template <typename Element>
  void read(size_t first, Element* to, size_t count, Columns columns) const;

  [[nodiscard]] PackedElements strip(size_t index) const {
    const size_t offset = index * columns_ * strips_.stride;
    if (isHalf_) return {nullptr, elements<uint16_t>() + offset};
    return {elements<float>() + offset, nullptr};
  }
  [[nodiscard]] size_t strips() const { return strips_.count; }
  [[nodiscard]] size_t width() const { return strips_.width; }
  [[nodiscard]] size_t stride() const { return strips_.stride; }

  /** Returns whether no infinity and no NaN was ever written. Then 0 times any element is 0. */
  [[nodiscard]] bool isFinite() const { return isFinite_.load(std::memory_order_relaxed); }

  [[nodiscard]] size_t rows() const { return rows_; }
  [[nodiscard]] size_t columns() const { return columns_; }
  [[nodiscard]] size_t channels() const { return channels_; }
  [[nodiscard]] bool isHalf() const { return isHalf_; }

 private:
  template <typename Element>
  [[nodiscard]] Element* elements() const {
    return reinterpret_cast<Element*>(memory_->data());
  }

  /** Calls move(packed Element&, element offset from first) for each element of the range within
   * the columns. */
  template <typename Element, typename Move>
  void forEach(size_t first, size_t count, Columns columns, const Move& move) const;
  /** Returns the offset of an element of the weight. The elements of the next rows in the strip
   * follow it. */
  [[nodiscard]] size_t offsetOf(size_t row, size_t column) const;

  size_t rows_, columns_, channels_;
  Strips strips_;
  bool isHalf_;
  std::atomic<bool> isFinite_{true};
  std::shared_ptr<HostMemory> memory_;
};

}  // namespace vgg::cpu
