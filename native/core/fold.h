// The one rewriting that every back end shares: batch normalisation disappears into the convolution
// before it.
#pragma once

#include "core/op.h"

namespace vgg {

/** How often each value is read, an output counting as a read. */
std::vector<int> countUses(const Program& program);

/** Merges each BatchNorm into the Conv2d that alone feeds it, unless the value between them is
 * wanted. */
Program foldBatchNorm(const Program& program);

}  // namespace vgg
