// A linear layer of one image whose inputs are often zero, as after a ReLU: what a zero is
// multiplied with is not read. The weight lies the other way round, (inputs, outputs), so that the
// weights of one input are neighbours.
//
// A block takes a strip of outputs and some of the inputs; the blocks of the others are its
// cluster, and sum up through each other's shared memory.
#include "cluster.h"
#include "vector.h"

#if !defined(__CUDACC_RTC__) || __CUDA_ARCH__ >= 900

namespace {

using geometry::kSparseListed;
using geometry::kSparseParts;

// Threads side by side along a row of the weight: 256 bytes.
constexpr int kLanes = geometry::kSparseLanes;
// Rows that a block reads side by side.
constexpr int kRows = geometry::kThreads / kLanes;
// Rows that a thread asks for before it uses the first.
constexpr int kAhead = 8;
// An input that is not zero, and its number.
using Entry = uint2;

// Lists those of the part's inputs that are not zero, or all of them, from its vector `first` on;
// says how many. Vector i of the part is vector i * kSparseParts + part of x: zeros often lie
// together, and so each part has its share of them.
template <typename T>
__forceinline__ int listInputs(const T* x, int part, int first, int vectors, bool all, Entry* list,
                               int* counts) {
  constexpr int kV = kVector<T>;
  constexpr int kLoads = kSparseListed / geometry::kThreads / kV;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  uint4 raw[kLoads];
  // Calls visit(input, value, lanes that have one to list) for each element of this thread's.
  const auto forEach = [&](const auto& visit) {
    UNROLL for (int u = 0; u < kLoads; ++u) {
      const int at = first + u * geometry::kThreads + thread;
      float v[kV];
      unpack<T>(raw[u], v);
      UNROLL for (int i = 0; i < kV; ++i) {
        visit((at * kSparseParts + part) * kV + i, v[i],
              __ballot_sync(~0U, at < vectors && (all || v[i] != 0)));
      }
    }
  };
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int at = first + u * geometry::kThreads + thread;
    raw[u] = uint4{0, 0, 0, 0};
    if (at < vectors) {
      raw[u] = load(reinterpret_cast<const uint4*>(x) + at * kSparseParts + part);
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

// y (O) = relu(x (I) weight (I, O) + bias). used (parts): how many inputs were multiplied.
template <typename T, typename U>
__forceinline__ void sparseGemv(const T* weight, const int* hasSpecial, const T* x,
                                const float* bias, U* y, int* used, int outputs, int inputs,
                                int relu) {
  constexpr int kV = kVector<T>;
  constexpr int kStrip = kLanes * kV;
  const int thread = static_cast<int>(threadIdx.x);
  const int part = static_cast<int>(blockIdx.x) % kSparseParts;
  const int strip = static_cast<int>(blockIdx.x) / kSparseParts;
  Entry* const list = reinterpret_cast<Entry*>(launchedShared());
  float* const sumsOfBlock = reinterpret_cast<float*>(list + kSparseListed);
  int* const counts = reinterpret_cast<int*>(sumsOfBlock + geometry::kSparseStrip);
  launchNext();

  const int row = thread / kLanes;
  const int stride = outputs / kV;
  const int vector = strip * kLanes + thread % kLanes;
  const uint4* const column = reinterpret_cast<const uint4*>(weight) + vector;
  // 0 * infinity is NaN: a weight that has any is read whole.
  const bool all = hasSpecial != nullptr && loadConstant(hasSpecial) != 0;
  waitForPrevious();

  float sums[kV] = {};
  int total = 0;
  const int vectors = (inputs / kV - part + kSparseParts - 1) / kSparseParts;
  for (int first = 0; first < vectors; first += kSparseListed / kV) {
    if (first > 0) __syncthreads();
    const int listed = listInputs(x, part, first, vectors, all, list, counts);
    const int count = vector < stride ? listed : 0;
    total += listed;
    uint4 ahead[kAhead];
    const auto fetch = [&](int u, int at) {
      if (at < count) {
        ahead[u] = loadStream(column + static_cast<long long>(list[at].x) * stride);
      }
    };
    UNROLL for (int u = 0; u < kAhead; ++u) fetch(u, row + u * kRows);
    for (int from = row; from < count; from += kAhead * kRows) {
      UNROLL for (int u = 0; u < kAhead; ++u) {
        const int at = from + u * kRows;
        if (at < count) {
          float w[kV];
          unpack<T>(ahead[u], w);
          const float value = floatOf(list[at].y);
          UNROLL for (int i = 0; i < kV; ++i) sums[i] += w[i] * value;
        }
        fetch(u, at + kAhead * kRows);
      }
    }
  }

  if (strip == 0 && thread == 0) store(used + part, total);
  // A warp has two rows; the warps' sums take the place of the list.
  UNROLL for (int i = 0; i < kV; ++i) sums[i] += __shfl_xor_sync(~0U, sums[i], kLanes);
  __syncthreads();
  float* const partial = reinterpret_cast<float*>(list);
  if (thread % 32 < kLanes) {
    UNROLL for (int i = 0; i < kV; ++i) {
      partial[thread / 32 * kStrip + thread % kLanes * kV + i] = sums[i];
    }
  }
  __syncthreads();
  if (thread < kStrip) {
    float sum = 0;
    for (int i = 0; i < geometry::kWarps; ++i) sum += partial[i * kStrip + thread];
    sumsOfBlock[thread] = sum;
  }
  synchronizeCluster();

  // Each block finishes its share of the strip.
  constexpr int kShare = kStrip / kSparseParts;
  const int output = strip * kStrip + part * kShare + thread * 4;
  if (thread < kShare / 4 && output < outputs) {
    float v[4];
    loadVector(bias, output / 4, v);
    float parts[kSparseParts][4];
    UNROLL for (int rank = 0; rank < kSparseParts; ++rank) {
      loadFrom(rank, sumsOfBlock + part * kShare + thread * 4, parts[rank]);
    }
    UNROLL for (int e = 0; e < 4; ++e) {
      UNROLL for (int rank = 0; rank < kSparseParts; ++rank) v[e] += parts[rank][e];
      U rounded;
      roundTo(relu ? rectify(v[e]) : v[e], rounded);
      store(y + output + e, rounded);
    }
  }
  // Nobody leaves while another reads its sums.
  synchronizeCluster();
}

}  // namespace

#define SPARSE_GEMV(suffix, T, outSuffix, U)                                                   \
  KERNEL sparseGemv_##suffix##_##outSuffix(const T* weight, const int* hasSpecial, const T* x, \
                                           const float* bias, U* y, int* used, int outputs,    \
                                           int inputs, int relu) {                             \
    sparseGemv(weight, hasSpecial, x, bias, y, used, outputs, inputs, relu);                   \
  }
SPARSE_GEMV(f32, float, f32, float)
SPARSE_GEMV(f16, Half, f16, Half)
SPARSE_GEMV(f16, Half, f32, float)
SPARSE_GEMV(bf16, Bfloat, bf16, Bfloat)
SPARSE_GEMV(bf16, Bfloat, f32, float)

#endif
