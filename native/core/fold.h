// The one program rewrite that all back ends share: batch normalisation is folded into the
// convolution before it.
#pragma once

#include "core/op.h"

namespace vgg {

/** Returns the number of reads of each value. An output of the program counts as a read. */
std::vector<int> countUses(const Program& program);

/** Folds each BatchNorm into the Conv2d before it, unless the value between them has another use.
 */
Program foldBatchNorm(const Program& program);

}  // namespace vgg
