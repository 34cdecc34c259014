// Places all activations of a program in one allocation. Values with disjoint lifetimes share
// bytes.
#pragma once

#include <cstddef>
#include <vector>

#include "core/op.h"

namespace vgg {

/** A block of `bytes` that is in use from step `first` to step `last`, both included. */
struct Lifetime {
  size_t bytes;
  int first, last;
};

struct ArenaLayout {
  std::vector<size_t> offsets;  // one per lifetime, each a multiple of kArenaAlignment
  size_t bytes = 0;
};

constexpr size_t kArenaAlignment = 64;

/** Places the largest block first, and each block at the lowest offset that is free during its
 * lifetime. */
ArenaLayout layOutArena(const std::vector<Lifetime>& lifetimes);

/** What a program keeps in its arena. Step 0 reads the inputs, step i + 1 is operation i, the last
 * step writes the outputs. */
struct ArenaSizes {
  explicit ArenaSizes(const Program& program)
      : values(program.values.size(), 0),
        scratch(program.ops.size(), 0),
        firstSteps(program.values.size(), kNone) {}

  std::vector<size_t> values;   // Bytes of each value; 0 if it lies elsewhere or is never computed
  std::vector<size_t> scratch;  // Bytes that each operation uses in its step alone
  std::vector<int> firstSteps;  // per value: a step before its operation's that writes it, or kNone
};

/** Offsets of each value, and of the scratch memory of each operation. */
struct ArenaOffsets {
  std::vector<size_t> values, scratch;
  size_t bytes = 0;
};

/** Places all values of a program by their lifetimes. storage[i] is i, or the value whose bytes
 * value i shares. */
ArenaOffsets placeValues(const Program& program, const ArenaSizes& sizes,
                         const std::vector<int>& storage);

}  // namespace vgg
