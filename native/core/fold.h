// The one program rewrite that all back ends share: batch normalisation is folded into the
// convolution before it.
#pragma once

#include <optional>

#include "core/op.h"

namespace vgg {

/** The batch normalisation that is folded into a convolution, if there is one. It is applied to the
 * weights, not at run time. */
using FoldedNorm = std::optional<BatchNorm>;

struct FoldedProgram {
  Program program;
  std::vector<FoldedNorm> norms;  // per value: the one of the convolution that computes it
};

/** Returns the number of reads of each value. An output of the program counts as a read. */
std::vector<int> countUses(const Program& program);

/** Folds each BatchNorm into the Conv2d before it, unless the value between them has another use.
 */
FoldedProgram foldBatchNorm(const Program& program);

/** Returns the parameters that a convolution and its batch normalisation read. */
std::vector<int> parametersOf(const Conv2d& conv, const FoldedNorm& norm);

/** Returns the parameters that a program reads, in the order of its operations. */
std::vector<int> parametersOf(const FoldedProgram& folded);

}  // namespace vgg
