// A linear layer of one image whose inputs are often zero, as after a ReLU. The weights of an input
// that is zero are not read. The weight is transposed, (inputs, outputs), so that the weights of
// one input are neighbours.
//
// A block computes a strip of outputs from a part of the inputs. The last block of a strip to end
// adds up the sums of the strip's blocks, always in the same order.
#include "vector.h"

namespace {

using geometry::kSparseHead;
using geometry::kSparseHeadVectors;
using geometry::kSparseLanes;
using geometry::kSparseListed;

// Rows of the weight that a block reads side by side, kSparseLanes vectors of each.
constexpr int kRows = geometry::kThreads / kSparseLanes;
// Rows that a thread loads before it uses the first. Before x is there, these are the head's rows.
constexpr int kAhead = kSparseHead / kRows;
// An input that is not zero, and its number.
using Entry = uint2;

// The parts take the vectors of inputs in turn. Zeros often lie together, and so each part gets its
// share of them.
struct Part {
  int index, count;
};

// Returns the input that is this element of one of the part's vectors.
template <typename T>
__forceinline__ int inputOf(const Part& part, int vector, int element) {
  return (vector * part.count + part.index) * kVector<T> + element;
}

// Lists the part's inputs that are not zero, or all of them, from its vector `first` on, with the
// head at the top of the list. Returns how many.
template <typename T>
__forceinline__ int listInputs(const T* x, const Part& part, int first, int vectors, bool all,
                               bool hasHead, Entry* list, int* counts) {
  constexpr int kV = kVector<T>;
  constexpr int kLoads = kSparseListed / geometry::kThreads / kV;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  uint4 raw[kLoads];
  // Calls visit(input, value, lanes that have an input to list) for each of this thread's elements.
  const auto forEach = [&](const auto& visit) {
    UNROLL for (int u = 0; u < kLoads; ++u) {
      const int at = first + u * geometry::kThreads + thread;
      float v[kV];
      unpack<T>(raw[u], v);
      UNROLL for (int i = 0; i < kV; ++i) {
        const bool isHead =
            hasHead && at < kSparseHeadVectors && i < kSparseHead / kSparseHeadVectors;
        visit(inputOf<T>(part, at, i), v[i],
              __ballot_sync(~0U, at < vectors && (all || isHead || v[i] != 0)));
      }
    }
  };
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int at = first + u * geometry::kThreads + thread;
    raw[u] = uint4{0, 0, 0, 0};
    if (at < vectors) {
      raw[u] = load(reinterpret_cast<const uint4*>(x) + at * part.count + part.index);
    }
  }
  int count = 0;
  forEach([&](int, float, unsigned lanes) { count += __popc(lanes); });
  if (lane == 0) counts[warp] = count;
  __syncthreads();
  int to = 0;
  int total = 0;
  for (int i = 0; i < geometry::kWarps; ++i) {
    if (i < warp) to += counts[i];
    total += counts[i];
  }
  forEach([&](int input, float value, unsigned lanes) {
    if (lanes >> lane & 1) {
      list[to + __popc(lanes & ((1U << lane) - 1))] = {static_cast<unsigned>(input), bitsOf(value)};
    }
    to += __popc(lanes);
  });
  __syncthreads();
  return total;
}

// Computes y (O) = relu(x (I) weight (I, O) + bias). used (parts): how many inputs were multiplied.
// sums (parts, O): scratch for the blocks' sums. ended (strips): how many blocks have ended, 0
// before and after.
template <typename T, typename U>
__forceinline__ void sparseGemv(const T* weight, const int* hasSpecial, const T* x,
                                const float* bias, U* y, int* used, float* sums, int* ended,
                                int outputs, int inputs, int relu) {
  constexpr int kV = kVector<T>;
  constexpr int kStrip = kSparseLanes * kV;
  __shared__ Entry list[kSparseListed];
  __shared__ int counts[geometry::kWarps];
  __shared__ int before;
  const int thread = static_cast<int>(threadIdx.x);
  const int strips = static_cast<int>(geometry::sparseGemvStrips(outputs / kV));
  const int strip = static_cast<int>(blockIdx.x) % strips;
  const Part part{static_cast<int>(blockIdx.x) / strips, static_cast<int>(gridDim.x) / strips};
  launchNext();

  const int row = thread / kSparseLanes;
  const int stride = outputs / kV;
  const int vector = strip * kSparseLanes + thread % kSparseLanes;
  const uint4* const column = reinterpret_cast<const uint4*>(weight) + vector;
  const auto loadRow = [&](int input) {
    return loadStream(column + static_cast<long long>(input) * stride);
  };
  const int vectors = (inputs / kV - part.index + part.count - 1) / part.count;
  const bool hasHead = vectors >= kSparseHeadVectors;
  uint4 ahead[kAhead];
  UNROLL for (int u = 0; u < kAhead; ++u) {
    const int at = row + u * kRows;
    if (hasHead && vector < stride) {
      ahead[u] = loadRow(inputOf<T>(part, at % kSparseHeadVectors, at / kSparseHeadVectors));
    }
  }
  // 0 * infinity is NaN, so a weight with an infinity or a NaN is read whole.
  const bool all = hasSpecial != nullptr && loadConstant(hasSpecial) != 0;
  waitForPrevious();

  float sum[kV] = {};
  int total = 0;
  for (int first = 0; first < vectors; first += kSparseListed / kV) {
    if (first > 0) __syncthreads();
    const bool isAhead = first == 0 && hasHead;
    const int listed = listInputs(x, part, first, vectors, all, isAhead, list, counts);
    const int count = vector < stride ? listed : 0;
    total += listed;
    const auto fetch = [&](int u, int at) {
      if (at < count) ahead[u] = loadRow(static_cast<int>(list[at].x));
    };
    UNROLL for (int u = 0; u < kAhead; ++u) {
      if (!isAhead) fetch(u, row + u * kRows);
    }
    for (int from = row; from < count; from += kAhead * kRows) {
      UNROLL for (int u = 0; u < kAhead; ++u) {
        const int at = from + u * kRows;
        if (at < count) {
          float w[kV];
          unpack<T>(ahead[u], w);
          const float value = floatOf(list[at].y);
          UNROLL for (int i = 0; i < kV; ++i) sum[i] += w[i] * value;
        }
        fetch(u, at + kAhead * kRows);
      }
    }
  }
  if (strip == 0 && thread == 0) store(used + part.index, total);

  // The rows' sums overwrite the list.
  __syncthreads();
  float* const ofRows = reinterpret_cast<float*>(list);
  static_assert(sizeof list >= kRows * kStrip * sizeof(float));
  UNROLL for (int i = 0; i < kV; ++i) {
    ofRows[row * kStrip + thread % kSparseLanes * kV + i] = sum[i];
  }
  __syncthreads();
  // Calls visit(output, its number in the strip) for each of this thread's outputs.
  const auto forEachOutput = [&](const auto& visit) {
    UNROLL for (int i = thread; i < kStrip; i += geometry::kThreads) {
      if (strip * kStrip + i < outputs) visit(strip * kStrip + i, i);
    }
  };
  forEachOutput([&](int output, int i) {
    float ofBlock = 0;
    UNROLL for (int r = 0; r < kRows; ++r) ofBlock += ofRows[r * kStrip + i];
    store(sums + static_cast<long long>(part.index) * outputs + output, ofBlock);
  });
  __syncthreads();
  if (thread == 0) before = countUp(ended + strip);
  __syncthreads();
  if (before != part.count - 1) return;
  forEachOutput([&](int output, int) {
    float v = loadConstant(bias + output);
    UNROLL_BY(8) for (int p = 0; p < part.count; ++p) {
      v += load(sums + static_cast<long long>(p) * outputs + output);
    }
    U rounded;
    roundTo(relu ? rectify(v) : v, rounded);
    store(y + output, rounded);
  });
  if (thread == 0) store(ended + strip, 0);
}

}  // namespace

#define SPARSE_GEMV(suffix, T, outSuffix, U)                                                     \
  KERNEL_RESIDENT(geometry::kSparseResident)                                                     \
  sparseGemv_##suffix##_##outSuffix(const T* weight, const int* hasSpecial, const T* x,          \
                                    const float* bias, U* y, int* used, float* sums, int* ended, \
                                    int outputs, int inputs, int relu) {                         \
    sparseGemv(weight, hasSpecial, x, bias, y, used, sums, ended, outputs, inputs, relu);        \
  }
SPARSE_GEMV(f32, float, f32, float)
SPARSE_GEMV(f16, Half, f16, Half)
SPARSE_GEMV(f16, Half, f32, float)
SPARSE_GEMV(bf16, Bfloat, bf16, Bfloat)
SPARSE_GEMV(bf16, Bfloat, f32, float)
