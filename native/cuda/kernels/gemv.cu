// Linear layers for a few images at a time. Reading the weights takes nearly all the time, so each
// is read once for all columns. From 4 columns on, tensor cores multiply.
#include "vector.h"

namespace {

// Rows that a thread multiplies at a time.
constexpr int kRows = 4;
// Vectors of each row that a thread loads before it uses any.
constexpr int kAhead = 2;

// Sums each of the N values over the warp. Every step halves the values that a lane is responsible
// for, so N = 32 costs 31 shuffles instead of 160. Lane l ends with the sum of value l * N / 32.
template <int N>
__forceinline__ float sumOverWarp(float (&values)[N]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int mask = 16;
  for (int half = N / 2; half > 0; half /= 2, mask /= 2) {
    const bool upper = (lane & mask) != 0;
    for (int i = 0; i < half; ++i) {
      const float other = upper ? values[i] : values[i + half];
      const float mine = upper ? values[i + half] : values[i];
      values[i] = mine + __shfl_xor_sync(~0U, other, mask);
    }
  }
  for (; mask > 0; mask /= 2) values[0] += __shfl_xor_sync(~0U, values[0], mask);
  return values[0];
}

// Computes kRows outputs of every column of y (B, O) = relu(x (B, I) weight (O, I)^T + bias). The
// threads of the block lie side by side along the rows.
template <typename T, typename U, int kColumns>
__forceinline__ void multiplyRows(int firstRow, const T* weight, const T* x, const float* bias,
                                  U* y, int outputs, int inputs, int relu) {
  constexpr int kV = kVector<T>;
  constexpr int kSums = kRows * kColumns;
  __shared__ float partial[geometry::kWarps][kSums];
  const int thread = static_cast<int>(threadIdx.x);
  const int vectors = inputs / kV;
  const uint4* rows =
      reinterpret_cast<const uint4*>(weight) + static_cast<long long>(firstRow) * vectors;

  uint4 ahead[kAhead][kRows];
  const auto fetch = [&](int from) {
    UNROLL for (int u = 0; u < kAhead; ++u) {
      const int at = from + u * geometry::kThreads;
      if (at >= vectors) continue;
      for (int r = 0; r < kRows; ++r) {
        ahead[u][r] = loadStream(rows + static_cast<long long>(r) * vectors + at);
      }
    }
  };
  // The first weights are loaded while the kernel that makes x still runs.
  fetch(thread);
  float total = thread < kSums ? loadConstant(bias + firstRow + thread % kRows) : 0;
  waitForPrevious();

  float sums[kSums] = {};
  for (int from = thread; from < vectors;) {
    // If registers allow it, x is loaded while the weights are still on their way.
    uint4 column[kAhead];
    UNROLL for (int u = 0; u < kAhead; ++u) {
      const int at = from + u * geometry::kThreads;
      if (kColumns > 1 || at >= vectors) continue;
      column[u] = load(reinterpret_cast<const uint4*>(x) + at);
    }
    UNROLL for (int u = 0; u < kAhead; ++u) {
      const int at = from + u * geometry::kThreads;
      if (at >= vectors) continue;
      float w[kRows][kV];
      UNROLL for (int r = 0; r < kRows; ++r) unpack<T>(ahead[u][r], w[r]);
      UNROLL for (int b = 0; b < kColumns; ++b) {
        float v[kV];
        if constexpr (kColumns == 1) {
          unpack<T>(column[u], v);
        } else {
          loadVector(x, static_cast<long long>(b) * vectors + at, v);
        }
        UNROLL for (int r = 0; r < kRows; ++r) {
          UNROLL for (int i = 0; i < kV; ++i) sums[b * kRows + r] += w[r][i] * v[i];
        }
      }
    }
    from += kAhead * geometry::kThreads;
    fetch(from);
  }

  const float sum = sumOverWarp(sums);
  if (thread % (32 / kSums) == 0) partial[thread / 32][thread % 32 / (32 / kSums)] = sum;
  __syncthreads();
  if (thread >= kSums) return;
  for (int i = 0; i < geometry::kWarps; ++i) total += partial[i][thread];
  U rounded;
  roundTo(relu ? rectify(total) : total, rounded);
  const long long column = thread / kRows;
  store(y + column * outputs + firstRow + thread % kRows, rounded);
}

// Does the same for 8 rows and up to 8 columns on tensor cores, because conversions and
// multiplications would take longer than reading the weights. x is the operand with 16 rows; the
// unused rows are zero. A lane's 16 bytes of a row are enough for two products, in an order of k
// that both operands share.
template <typename T, typename U, int kColumns>
__forceinline__ void multiplyTile(const T* weight, const T* x, const float* bias, U* y, int outputs,
                                  int inputs, int relu) {
  constexpr int kTile = 8;
  // A warp takes 4 × kTileAhead vectors, 256 bytes, of each row at a time.
  constexpr int kTileAhead = 4;
  constexpr int kStep = 4 * kTileAhead;
  __shared__ float partial[geometry::kWarps][kTile][kTile];
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int g = thread % 32 / 4;
  const int t = thread % 4;
  const int vectors = inputs / kVector<T>;
  const int firstRow = static_cast<int>(blockIdx.x) * kTile;
  const uint4* row =
      reinterpret_cast<const uint4*>(weight) + static_cast<long long>(firstRow + g) * vectors;
  const uint4* column = reinterpret_cast<const uint4*>(x) + static_cast<long long>(g) * vectors;

  uint4 ahead[kTileAhead];
  const auto fetch = [&](int from) {
    UNROLL for (int u = 0; u < kTileAhead; ++u) {
      const int at = from + 4 * u + t;
      ahead[u] = uint4{0, 0, 0, 0};
      if (at < vectors) ahead[u] = loadStream(row + at);
    }
  };
  fetch(warp * kStep);
  float total = thread < kTile * kColumns ? loadConstant(bias + firstRow + thread % kTile) : 0;
  waitForPrevious();

  float sums[2][4] = {};
  for (int from = warp * kStep; from < vectors;) {
    uint4 v[kTileAhead];
    UNROLL for (int u = 0; u < kTileAhead; ++u) {
      const int at = from + 4 * u + t;
      v[u] = uint4{0, 0, 0, 0};
      if (g < kColumns && at < vectors) v[u] = load(column + at);
    }
    UNROLL for (int u = 0; u < kTileAhead; ++u) {
      multiply16x8x16(T{}, sums[0], {v[u].x, 0, v[u].y, 0}, ahead[u].x, ahead[u].y);
      multiply16x8x16(T{}, sums[1], {v[u].z, 0, v[u].w, 0}, ahead[u].z, ahead[u].w);
    }
    from += geometry::kWarps * kStep;
    fetch(from);
  }

  partial[warp][g][2 * t] = sums[0][0] + sums[1][0];
  partial[warp][g][2 * t + 1] = sums[0][1] + sums[1][1];
  __syncthreads();
  if (thread >= kTile * kColumns) return;
  const int columnIndex = thread / kTile;
  for (int i = 0; i < geometry::kWarps; ++i) total += partial[i][columnIndex][thread % kTile];
  U rounded;
  roundTo(relu ? rectify(total) : total, rounded);
  store(y + static_cast<long long>(columnIndex) * outputs + firstRow + thread % kTile, rounded);
}

// Whether the tensor cores multiply this type.
template <typename T>
constexpr bool kHasProducts = false;
template <>
constexpr bool kHasProducts<Half> = true;
#if !defined(__CUDACC_RTC__) || __CUDA_ARCH__ >= 800
template <>
constexpr bool kHasProducts<Bfloat> = true;
#endif

template <typename T, typename U, int kColumns>
__forceinline__ void gemv(const T* weight, const T* x, const float* bias, U* y, int outputs,
                          int inputs, int relu) {
  constexpr int kBlockRows = geometry::gemvRows(kColumns, sizeof(T));
  launchNext();
  if constexpr (kBlockRows == 8 && kHasProducts<T>) {
    multiplyTile<T, U, kColumns>(weight, x, bias, y, outputs, inputs, relu);
  } else {
    const int firstRow = static_cast<int>(blockIdx.x) * kBlockRows;
    for (int i = 0; i < kBlockRows; i += kRows) {
      if (i > 0) __syncthreads();
      multiplyRows<T, U, kColumns>(firstRow + i, weight, x, bias, y, outputs, inputs, relu);
    }
  }
}

}  // namespace

#define GEMV(columns, suffix, T, outSuffix, U)                                                  \
  KERNEL gemv##columns##_##suffix##_##outSuffix(const T* weight, const T* x, const float* bias, \
                                                U* y, int outputs, int inputs, int relu) {      \
    gemv<T, U, columns>(weight, x, bias, y, outputs, inputs, relu);                             \
  }
#define GEMV_TYPES(columns)                 \
  GEMV(columns, f32, float, f32, float)     \
  GEMV(columns, f16, Half, f16, Half)       \
  GEMV(columns, f16, Half, f32, float)      \
  GEMV(columns, bf16, Bfloat, bf16, Bfloat) \
  GEMV(columns, bf16, Bfloat, f32, float)
GEMV_TYPES(1)
GEMV_TYPES(2)
GEMV_TYPES(4)
GEMV_TYPES(8)
