#include "core/memory/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace vgg {

ArenaLayout layOutArena(const std::vector<Lifetime>& lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  ArenaLayout layout{std::vector<size_t>(lifetimes.size(), 0), 0};
  std::vector<size_t> placed;  // by rising offset
  for (const size_t index : order) {
    const Lifetime& life = lifetimes[index];
    size_t offset = 0;
    for (const size_t other : placed) {
      const Lifetime& there = lifetimes[other];
      if (there.last < life.first || life.last < there.first) continue;
      if (layout.offsets[other] >= offset && layout.offsets[other] - offset >= life.bytes) break;
      const size_t end = layout.offsets[other] + there.bytes;
      offset = std::max(offset, (end + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
    }
    if (life.bytes > std::numeric_limits<size_t>::max() / 2 - offset) {
      throw Error(Code::kOutOfMemory, "The activations exceed the address space");
    }
    layout.offsets[index] = offset;
    layout.bytes = std::max(layout.bytes, offset + life.bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](size_t at, size_t other) { return at < layout.offsets[other]; }),
        index);
  }
  return layout;
}

ArenaOffsets placeValues(const Program& program, const ArenaSizes& sizes,
                         const std::vector<int>& storage) {
  const size_t count = program.values.size();
  const int last = static_cast<int>(program.ops.size()) + 1;
  std::vector<Lifetime> lives(count, Lifetime{0, last, 0});
  const auto touch = [&](int value, int step) {
    Lifetime& life = lives[storage[value]];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  };
  for (const int input : program.inputs) touch(input, 0);
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const int step = static_cast<int>(i) + 1;
    for (const int value : inputsOf(program.ops[i])) touch(value, step);
    for (const int value : outputsOf(program.ops[i])) {
      touch(value, step);
      if (sizes.firstSteps[value] != kNone) touch(value, sizes.firstSteps[value]);
    }
  }
  for (const int output : program.outputs) touch(output, last);

  for (size_t i = 0; i < count; ++i) {
    const bool isUsed = lives[i].first <= lives[i].last;
    if (isUsed && storage[i] == static_cast<int>(i)) lives[i].bytes = sizes.values[i];
  }
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const int step = static_cast<int>(i) + 1;
    lives.push_back({sizes.scratch[i], step, step});
  }
  const ArenaLayout layout = layOutArena(lives);
  ArenaOffsets offsets{{}, {}, layout.bytes};
  for (const int value : storage) offsets.values.push_back(layout.offsets[value]);
  offsets.scratch.assign(layout.offsets.begin() + static_cast<ptrdiff_t>(count),
                         layout.offsets.end());
  return offsets;
}

}  // namespace vgg
