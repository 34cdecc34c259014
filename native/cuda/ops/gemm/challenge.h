// Steps that skip zeros against the steps that they may replace, in whole forwards.
#pragma once

#include <string>
#include <vector>

#include "cuda/ops/gemm/sparse_gemm.h"

namespace vgg::cuda {

struct Lowered;

/** What the cache keeps if the kernel that skips zeros was chosen. */
inline constexpr const char* kSparseText = "sparse";

/** A step that skips zeros and may replace another step. */
struct Challenger {
  size_t index;     // the index of the step that it may replace
  int value;        // the value that both make
  Buffer output;    // the memory of that value
  std::string key;  // the choice's key in the cache
  SparseStep sparse;
};

/**
 * Replaces a step by its challenger if both compute the same and forwards of random images become
 * faster. The parameters are as they are now, because they decide how many zeros there are. Whole
 * forwards are timed because a kernel that overlaps with its neighbours costs less than alone.
 * Afterwards a challenger holds the step that lost. Throws Error kDeviceLost, kOutOfMemory.
 */
void settleChallenges(const Shared& shared, Stopwatch& stopwatch,
                      std::vector<Challenger>& challengers, Lowered& lowered);

}  // namespace vgg::cuda
