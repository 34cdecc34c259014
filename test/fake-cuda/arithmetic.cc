// Conversions, convolution, pooling and matrix products, fast enough for tests: GCC's vectors,
// weights packed once per call, rows split over threads.
#include "arithmetic.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <thread>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace fake {
namespace {

#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
typedef float Vector __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
constexpr int kBlock = 2 * kLanes;  // output channels at a time

// Computes y[0..P) of one row for kBlock channels. `x` is the padded input at the first window.
template <int P>
void convolvePixels(const float* x, int64_t pixelStep, const ConvolutionShape& shape,
                    int64_t rowStep, const float* w, float* out) {
  Vector sum[P][2] = {};
  const Window& window = shape.window;
  for (int64_t r = 0; r < window.size[0]; ++r)
    for (int64_t s = 0; s < window.size[1]; ++s) {
      const float* at = x + r * window.dilation[0] * rowStep + s * window.dilation[1] * shape.c;
      for (int64_t c = 0; c < shape.c; ++c, w += kBlock) {
        const Vector w0 = *reinterpret_cast<const Vector*>(w);
        const Vector w1 = *reinterpret_cast<const Vector*>(w + kLanes);
        for (int p = 0; p < P; ++p) {
          const float value = at[p * pixelStep + c];
          sum[p][0] += w0 * value;
          sum[p][1] += w1 * value;
        }
      }
    }
  for (int p = 0; p < P; ++p) {
    *reinterpret_cast<Vector*>(out + p * kBlock) = sum[p][0];
    *reinterpret_cast<Vector*>(out + p * kBlock + kLanes) = sum[p][1];
  }
}

template <int Columns>
void dot(const float* w, const float* x, int64_t depth, float* out, int64_t outStride) {
  Vector sum[Columns][2] = {};
  int64_t k = 0;
  for (; k + kBlock <= depth; k += kBlock)
    for (int j = 0; j < Columns; ++j) {
      const float* xs = x + j * depth + k;
      sum[j][0] += *reinterpret_cast<const Vector*>(w + k) * *reinterpret_cast<const Vector*>(xs);
      sum[j][1] += *reinterpret_cast<const Vector*>(w + k + kLanes) *
                   *reinterpret_cast<const Vector*>(xs + kLanes);
    }
  for (int j = 0; j < Columns; ++j) {
    const Vector both = sum[j][0] + sum[j][1];
    float total = 0;
    for (int i = 0; i < kLanes; ++i) total += both[i];
    for (int64_t rest = k; rest < depth; ++rest) total += w[rest] * x[j * depth + rest];
    out[j * outStride] = total;
  }
}

}  // namespace

float halfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t mantissa = bits & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float value = static_cast<float>(mantissa) * 0x1p-24F;
  return sign ? -value : value;
}

uint16_t floatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7FFF;
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // 65520 and above become infinite
  if (magnitude < 0x38800000) {                       // below 2^-14: units of 2^-24
    const float units = std::bit_cast<float>(magnitude) * 0x1p24F;
    return sign | static_cast<uint16_t>(std::nearbyint(units));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return sign | static_cast<uint16_t>((magnitude - 0x38000000 + 0xFFF + odd) >> 13);
}

float bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint16_t floatToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float roundToTf32(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7F800000) == 0x7F800000) return value;
  return std::bit_cast<float>((bits + 0x1000) & 0xFFFFE000);
}

void widen(const void* from, Type type, size_t count, Rounding rounding, float* to) {
  const auto* narrowed = static_cast<const uint16_t*>(from);
  size_t i = 0;
  switch (type) {
    case Type::kFloat:
      std::memcpy(to, from, count * 4);
      break;
    case Type::kHalf:
#ifdef __F16C__
      for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(
            to + i,
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(narrowed + i))));
#endif
      for (; i < count; ++i) to[i] = halfToFloat(narrowed[i]);
      return;  // TF32 and half hold every half.
    case Type::kBfloat16:
      for (; i < count; ++i) to[i] = bfloat16ToFloat(narrowed[i]);
      return;
  }
  if (rounding == Rounding::kTf32)
    for (size_t j = 0; j < count; ++j) to[j] = roundToTf32(to[j]);
  if (rounding == Rounding::kHalf)
    for (size_t j = 0; j < count; ++j) to[j] = halfToFloat(floatToHalf(to[j]));
}

void narrow(const float* from, Type type, size_t count, void* to) {
  auto* narrowed = static_cast<uint16_t*>(to);
  if (type == Type::kFloat) std::memcpy(to, from, count * 4);
  if (type == Type::kHalf)
    for (size_t i = 0; i < count; ++i) narrowed[i] = floatToHalf(from[i]);
  if (type == Type::kBfloat16)
    for (size_t i = 0; i < count; ++i) narrowed[i] = floatToBfloat16(from[i]);
}

void parallelFor(size_t count, const std::function<void(size_t, size_t)>& work) {
  const size_t cores = std::clamp(std::thread::hardware_concurrency(), 2U, 8U);
  const size_t parts = std::min(count, cores * 4);
  if (parts < 2) {
    if (count > 0) work(0, count);
    return;
  }
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t part = next++; part < parts; part = next++)
      work(count * part / parts, count * (part + 1) / parts);
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(cores, parts); ++i) others.emplace_back(run);
  run();
  for (auto& other : others) other.join();
}

void convolve(const ConvolutionShape& shape, const float* x, const float* w, float* y) {
  const Window& window = shape.window;
  const int64_t p = window.outputs(0, shape.h);
  const int64_t q = window.outputs(1, shape.w);
  const int64_t taps = window.size[0] * window.size[1] * shape.c;
  const int64_t blocks = (shape.k + kBlock - 1) / kBlock;
  std::vector<float> packed(blocks * taps * kBlock);  // (K / kBlock, R, S, C, kBlock)
  parallelFor(blocks, [&](size_t begin, size_t end) {
    for (size_t block = begin; block < end; ++block)
      for (int64_t i = 0; i < kBlock; ++i) {
        const int64_t k = static_cast<int64_t>(block) * kBlock + i;
        if (k >= shape.k) break;
        for (int64_t t = 0; t < taps; ++t)
          packed[(block * taps + t) * kBlock + i] = w[k * taps + t];
      }
  });
  const int64_t height = shape.h + window.before[0] + window.after[0];
  const int64_t width = shape.w + window.before[1] + window.after[1];
  const int64_t rowStep = width * shape.c;
  std::vector<float> padded(shape.n * height * rowStep);
  parallelFor(shape.n * shape.h, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const int64_t n = static_cast<int64_t>(row) / shape.h;
      const int64_t line = static_cast<int64_t>(row) % shape.h + window.before[0];
      std::memcpy(padded.data() + (n * height + line) * rowStep + window.before[1] * shape.c,
                  x + row * shape.w * shape.c, shape.w * shape.c * 4);
    }
  });
  const int64_t pixelStep = window.stride[1] * shape.c;
  const auto rowOf = [&](int64_t block, int64_t row) {
    const int64_t n = row / p;
    const float* in = padded.data() + (n * height + row % p * window.stride[0]) * rowStep;
    const float* weights = packed.data() + block * taps * kBlock;
    const int64_t channels = std::min<int64_t>(kBlock, shape.k - block * kBlock);
    float out[6 * kBlock];
    for (int64_t pixel = 0; pixel < q;) {
      const float* at = in + pixel * pixelStep;
      const int64_t left = q - pixel;
      int done = 1;
      if (left >= 6) {
        convolvePixels<6>(at, pixelStep, shape, rowStep, weights, out);
        done = 6;
      } else if (left >= 4) {
        convolvePixels<4>(at, pixelStep, shape, rowStep, weights, out);
        done = 4;
      } else if (left >= 2) {
        convolvePixels<2>(at, pixelStep, shape, rowStep, weights, out);
        done = 2;
      } else {
        convolvePixels<1>(at, pixelStep, shape, rowStep, weights, out);
      }
      for (int i = 0; i < done; ++i)
        std::memcpy(y + ((row * q) + pixel + i) * shape.k + block * kBlock, out + i * kBlock,
                    channels * 4);
      pixel += done;
    }
  };
  const int64_t rows = shape.n * p;
  parallelFor(blocks * rows, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i)
      rowOf(static_cast<int64_t>(i) / rows, static_cast<int64_t>(i) % rows);
  });
}

void multiply(const MatrixProduct& product, float* y) {
  const int64_t depth = product.depth;
  const auto* w = static_cast<const char*>(product.w);
  parallelFor(product.rows, [&](size_t begin, size_t end) {
    std::vector<float> line(depth);
    for (size_t row = begin; row < end; ++row) {
      widen(w + row * product.wStride * sizeOf(product.type), product.type, depth, product.rounding,
            line.data());
      int64_t column = 0;
      for (; column + 4 <= product.columns; column += 4)
        dot<4>(line.data(), product.x + column * depth, depth,
               y + column * product.rows + static_cast<int64_t>(row), product.rows);
      for (; column < product.columns; ++column)
        dot<1>(line.data(), product.x + column * depth, depth,
               y + column * product.rows + static_cast<int64_t>(row), product.rows);
    }
  });
}

}  // namespace fake
