// Decides how the products of a linear layer are cut into tasks.
#pragma once

#include <cstddef>

#include "core/shape.h"

namespace vgg::cpu {

// The maximum number of columns of the weight that one task sums for few images, whose tasks list
// the columns. A sum's bits depend on its parts, so the parts do not depend on the number of
// threads.
constexpr ptrdiff_t kListedColumns = 1024;

/** How the work of one layer is cut. A task multiplies a part of the columns with a share of a
 * strip. */
struct LinearSplit {
  ptrdiff_t images;
  ptrdiff_t columns;        // the weight's
  ptrdiff_t strips, width;  // the packed weight's
  ptrdiff_t columnsPerPart;
  ptrdiff_t shares;  // shares of a strip's outputs

  /** Returns whether a task lists the columns that it reads. */
  [[nodiscard]] bool isListed() const;
  [[nodiscard]] ptrdiff_t parts() const { return divideUp(columns, columnsPerPart); }
  /** Floats between the sums of consecutive images. Sums are [part][image][output]. */
  [[nodiscard]] ptrdiff_t sumStride() const;
  /** Returns the scratch floats that the sums need. */
  [[nodiscard]] size_t scratchFloats() const;

  struct Task {
    ptrdiff_t strip, part, share;
  };
  [[nodiscard]] ptrdiff_t tasks() const { return strips * parts() * shares; }
  [[nodiscard]] Task taskAt(size_t index) const {
    const auto i = static_cast<ptrdiff_t>(index);
    return {i / shares / parts(), i / shares % parts(), i % shares};
  }
  /** Returns the first output of a share of a strip. */
  [[nodiscard]] ptrdiff_t start(ptrdiff_t share) const;
};

/** Cuts the work for `images` at once and a weight (O, I). `isHalf`: the weight is stored in
 * float16. The number of threads affects only the shares. */
LinearSplit splitLinear(const Shape& weight, bool isHalf, ptrdiff_t images, int threads);

}  // namespace vgg::cpu
