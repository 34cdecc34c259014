// Places all activations of a program in one allocation. Values with disjoint lifetimes share
// bytes.
#pragma once

#include <cstddef>
#include <vector>

namespace vgg {

/** A block of `bytes` that is in use from step `first` to step `last`, both included. */
struct Lifetime {
  size_t bytes;
  int first, last;
};

struct ArenaPlan {
  std::vector<size_t> offsets;  // one per lifetime, each a multiple of kArenaAlignment
  size_t bytes = 0;
};

constexpr size_t kArenaAlignment = 64;

/** Greedy by size: places the largest block first, each at the lowest offset that is free during
 * its lifetime. */
ArenaPlan planArena(const std::vector<Lifetime>& lifetimes);

}  // namespace vgg
