// A linear layer's weight in the order in which the tiles read it. It is a mere permutation of (O,
// I), so it is the only copy of the parameter on the device: 133 M values are never held twice.
#pragma once

#include <memory>

#include "core/host_memory.h"
#include "core/parallel.h"
#include "cpu/kernels.h"

namespace vgg::cpu {

/** The elements of one panel, of the type in which they are kept; the other is null. */
struct PanelElements {
  const float* floats;
  const uint16_t* halves;

  [[nodiscard]] const void* address() const {
    return halves != nullptr ? static_cast<const void*>(halves) : floats;
  }
};

/**
 * weight (O, I) → [⌈O / panelWidth⌉][I][panelWidth], rows past O zero.
 * Where the input of the layer was flattened from (channels, pixels), column c·pixels + p becomes
 * depth p·channels + c, because activations are kept channels last.
 */
class PackedMatrix {
 public:
  /** isHalf: kept in float16. */
  PackedMatrix(const Kernels& kernels, size_t rows, size_t columns, size_t channels, bool isHalf,
               std::atomic<size_t>* counter);

  /** Columns [begin, end) of the row-major weight: threads share a range of elements by them. */
  struct Columns {
    size_t begin, end;
  };
  [[nodiscard]] Columns part(size_t index, size_t parts) const {
    return {columns_ * index / parts, columns_ * (index + 1) / parts};
  }

  /** Elements [first, first + count) of the row-major weight, those of the columns given: float, or
   * uint16_t where isHalf. */
  template <typename Element>
  void write(size_t first, const Element* from, size_t count, Columns columns);
  template <typename Element>
  void read(size_t first, Element* to, size_t count, Columns columns) const;

  /** The rows of panel `panel`: [panel · panelWidth, …) cut at `rows`. Panels may be written by
   * different threads. */
  [[nodiscard]] size_t panels() const { return panels_; }
  [[nodiscard]] PanelElements panel(size_t index) const {
    const size_t offset = index * columns_ * panelWidth_;
    if (isHalf_) return {nullptr, elements<uint16_t>() + offset};
    return {elements<float>() + offset, nullptr};
  }

  [[nodiscard]] size_t rows() const { return rows_; }
  [[nodiscard]] size_t columns() const { return columns_; }
  [[nodiscard]] size_t channels() const { return channels_; }
  [[nodiscard]] size_t panelWidth() const { return panelWidth_; }
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

  size_t panelWidth_, rows_, columns_, channels_, panels_;
  bool isHalf_;
  std::shared_ptr<HostMemory> memory_;
};

}  // namespace vgg::cpu
