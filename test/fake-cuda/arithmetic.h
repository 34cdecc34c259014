// The arithmetic of cuDNN and cuBLASLt on the CPU: float32 accumulation over float, half and
// bfloat16, with the roundings that some engines make.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace fake {

enum class Type : uint8_t { kFloat, kHalf, kBfloat16 };
/** What an engine does to its inputs before it multiplies. */
enum class Rounding : uint8_t { kNone, kTf32, kHalf };

inline size_t sizeOf(Type type) { return type == Type::kFloat ? 4 : 2; }
float halfToFloat(uint16_t bits);
uint16_t floatToHalf(float value);
float bfloat16ToFloat(uint16_t bits);
uint16_t floatToBfloat16(float value);
/** Rounds to ten bits of mantissa, ties away from zero, as PTX's cvt.rna.tf32. */
float roundToTf32(float value);

void widen(const void* from, Type type, size_t count, Rounding rounding, float* to);
void narrow(const float* from, Type type, size_t count, void* to);

/** Calls work(begin, end) on parts of [0, count) from several threads. */
void parallelFor(size_t count, const std::function<void(size_t, size_t)>& work);

struct Window {
  int64_t size[2], before[2], after[2], stride[2], dilation[2] = {1, 1};
  int64_t outputs(int axis, int64_t input) const {
    return (input + before[axis] + after[axis] - dilation[axis] * (size[axis] - 1) - 1) /
               stride[axis] +
           1;
  }
  bool operator==(const Window&) const = default;
};

/** x (N, H, W, C), w (K, R, S, C) and y (N, P, Q, K). */
struct ConvolutionShape {
  int64_t n, c, h, w, k;
  Window window;
};
void convolve(const ConvolutionShape& shape, const float* x, const float* w, float* y);

/** y[column][row] = sum over k of w[row][k] * x[column][k]. w keeps its type, x is widened. */
struct MatrixProduct {
  int64_t rows, columns, depth;
  const void* w;
  int64_t wStride;
  Type type;
  Rounding rounding;
  const float* x;  // (columns, depth)
};
void multiply(const MatrixProduct& product, float* y);

}  // namespace fake
