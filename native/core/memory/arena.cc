#include "core/memory/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace vgg {

ArenaPlan planArena(const std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  ArenaPlan plan{std::vector<size_t>(lifetimes.size(), 0), 0};
  std::vector<size_t> placed;  // by rising offset
  for (const size_t index : order) {
    const Lifetime& life = lifetimes[index];
    size_t offset = 0;
    for (const size_t other : placed) {
      const Lifetime& there = lifetimes[other];
      if (there.last < life.first || life.last < there.first) continue;
      if (plan.offsets[other] >= offset && plan.offsets[other] - offset >= life.bytes) break;
      const size_t end = plan.offsets[other] + there.bytes;
      offset = std::max(offset, (end + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
    }
    if (life.bytes > std::numeric_limits<size_t>::max() / 2 - offset) {
      throw Error(Code::kOutOfMemory, "The activations exceed the address space");
    }
    plan.offsets[index] = offset;
    plan.bytes = std::max(plan.bytes, offset + life.bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](size_t at, size_t other) { return at < plan.offsets[other]; }),
        index);
  }
  return plan;
}

}  // namespace vgg
