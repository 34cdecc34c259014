// Finds the k greatest of each row in descending order. Among equals the lower index comes first.
// NaN counts as the greatest.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>

#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const TopK& op) {
  const Buffer input = buffer(op.input);
  const Buffer values = buffer(op.output);
  const Buffer indices = buffer(op.indices);
  const int k = op.k;
  return [=, this](const Run& run) {
    // Allocate before the threads start, because a task of the pool must not throw.
    const auto features = static_cast<size_t>(input.channels);
    std::vector<int32_t> orders(static_cast<size_t>(batch_) * features);
    pool_.run(static_cast<size_t>(batch_), [&](size_t task) {
      const auto n = static_cast<ptrdiff_t>(task);
      const float* from = input.image(run.arena, n);
      const std::span<int32_t> order(orders.data() + task * features, features);
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(),
                        [from](int32_t a, int32_t b) {
                          const bool aIsNan = std::isnan(from[a]);
                          const bool bIsNan = std::isnan(from[b]);
                          if (aIsNan != bIsNan) return aIsNan;
                          if (!aIsNan && from[a] != from[b]) return from[a] > from[b];
                          return a < b;
                        });
      float* to = values.image(run.arena, n);
      for (int i = 0; i < k; ++i) to[i] = from[order[static_cast<size_t>(i)]];
      std::memcpy(indices.image(run.arena, n), order.data(),
                  static_cast<size_t>(k) * sizeof(int32_t));
    });
  };
}

}  // namespace vgg::cpu
