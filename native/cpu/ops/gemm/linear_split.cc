#include "cpu/ops/gemm/linear_split.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/packing/packed_matrix.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kColumns = 2048;  // like kListedColumns, for many images
constexpr ptrdiff_t kColumnGrain = 16;
// A task computes at least this many outputs of a strip if threads share it.
constexpr ptrdiff_t kMinOutputs = 64;
// Rows of sums are this many floats more than whole pages apart: a load waits for an earlier store
// if the low bits of their addresses match.
constexpr ptrdiff_t kSkew = ptrdiff_t{9} * 16;

/** Returns the number of shares that each of `tasks` equal tasks is cut into: the minimum, up to
 * `most`, that leaves no thread more than a sixteenth above the mean. */
ptrdiff_t sharesFor(ptrdiff_t tasks, ptrdiff_t threads, ptrdiff_t most) {
  const auto isEven = [&](ptrdiff_t count) {
    return divideUp(count, threads) * threads * 16 <= count * 17;
  };
  ptrdiff_t shares = 1;
  while (shares < most && !isEven(tasks * shares)) ++shares;
  return shares;
}

}  // namespace

bool LinearSplit::isListed() const { return images <= kStreamedRows; }

ptrdiff_t LinearSplit::sumStride() const { return strips * width + kSkew; }

size_t LinearSplit::scratchFloats() const {
  return checkedMultiply(static_cast<size_t>(parts() * images), static_cast<size_t>(sumStride()));
}

ptrdiff_t LinearSplit::start(ptrdiff_t share) const {
  return width / kStripGrain * share / shares * kStripGrain;
}

LinearSplit splitLinear(const Shape& weight, bool isHalf, ptrdiff_t images, int threads) {
  const Strips strips = stripsOf(static_cast<size_t>(weight[0]), isHalf);
  LinearSplit split{images,
                    static_cast<ptrdiff_t>(weight[1]),
                    static_cast<ptrdiff_t>(strips.count),
                    static_cast<ptrdiff_t>(strips.width),
                    1,
                    1};
  const ptrdiff_t fewest = divideUp(split.columns, split.isListed() ? kListedColumns : kColumns);
  split.columnsPerPart = divideUp(divideUp(split.columns, fewest), kColumnGrain) * kColumnGrain;
  split.shares = sharesFor(split.strips * split.parts(), threads,
                           std::max<ptrdiff_t>(1, split.width / kMinOutputs));
  return split;
}

}  // namespace vgg::cpu
