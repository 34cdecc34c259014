// Pooling over windows, channels last. One thread computes a vector of channels of one output
// pixel.
#include "vector.h"

namespace {

// y (N, OH, OW, C) = relu(max of the window + bias). The padding never counts.
template <typename T>
__forceinline__ void maxPool2d(const T* x, const float* bias, T* y, int n, int h, int w, int c,
                               int oh, int ow, int size, int stride, int padding, int relu) {
  constexpr int kV = kVector<T>;
  const int vectors = c / kV;
  const long long index = threadIndex();
  launchNext();
  waitForPrevious();
  if (index >= static_cast<long long>(n) * oh * ow * vectors) return;
  long long image = index;
  const int vector = takeDigit(image, vectors);
  const int column = takeDigit(image, ow);
  const int row = takeDigit(image, oh);
  float best[kV];
  if (size == 2 && stride == 2 && padding == 0) {
    const long long first = ((image * h + 2 * row) * w + 2 * column) * vectors + vector;
    const long long below = first + static_cast<long long>(w) * vectors;
    float v[3][kV];
    loadVector(x, first, best);
    loadVector(x, first + vectors, v[0]);
    loadVector(x, below, v[1]);
    loadVector(x, below + vectors, v[2]);
    for (int i = 0; i < kV; ++i) {
      best[i] = maxOrNan(maxOrNan(best[i], v[0][i]), maxOrNan(v[1][i], v[2][i]));
    }
  } else {
    for (int i = 0; i < kV; ++i) best[i] = floatOf(0xff800000);  // -infinity
    const int top = row * stride - padding;
    const int left = column * stride - padding;
    for (int r = top < 0 ? 0 : top; r < top + size && r < h; ++r) {
      for (int s = left < 0 ? 0 : left; s < left + size && s < w; ++s) {
        float v[kV];
        loadVector(x, ((image * h + r) * w + s) * vectors + vector, v);
        for (int i = 0; i < kV; ++i) best[i] = maxOrNan(best[i], v[i]);
      }
    }
  }
  if (bias) {
    for (int part = 0; part < kV / 4; ++part) {
      float terms[4];
      loadVector(bias, vector * (kV / 4) + part, terms);
      for (int i = 0; i < 4; ++i) best[part * 4 + i] += terms[i];
    }
  }
  if (relu) {
    for (int i = 0; i < kV; ++i) best[i] = rectify(best[i]);
  }
  storeVector(y, index, best);
}

// Returns the i-th of `count` bins over `length` positions, as PyTorch cuts them. Bins may overlap.
struct Bin {
  int begin, end;
};
__forceinline__ Bin binOf(int i, int length, int count) {
  const long long whole = length;
  return {static_cast<int>(i * whole / count),
          static_cast<int>(((i + 1) * whole + count - 1) / count)};
}

// y (N, OH, OW, C) = mean of each bin of x (N, H, W, C).
template <typename T>
__forceinline__ void adaptiveAvgPool2d(const T* x, T* y, int n, int h, int w, int c, int oh,
                                       int ow) {
  constexpr int kV = kVector<T>;
  const int vectors = c / kV;
  const long long index = threadIndex();
  launchNext();
  waitForPrevious();
  if (index >= static_cast<long long>(n) * oh * ow * vectors) return;
  long long image = index;
  const int vector = takeDigit(image, vectors);
  const Bin columns = binOf(takeDigit(image, ow), w, ow);
  const Bin rows = binOf(takeDigit(image, oh), h, oh);
  float sum[kV] = {};
  for (int r = rows.begin; r < rows.end; ++r) {
    for (int s = columns.begin; s < columns.end; ++s) {
      float v[kV];
      loadVector(x, ((image * h + r) * w + s) * vectors + vector, v);
      for (int i = 0; i < kV; ++i) sum[i] += v[i];
    }
  }
  const float count =
      static_cast<float>(rows.end - rows.begin) * static_cast<float>(columns.end - columns.begin);
  for (int i = 0; i < kV; ++i) sum[i] /= count;
  storeVector(y, index, sum);
}

}  // namespace

#define POOL(suffix, T)                                                                      \
  KERNEL maxPool2d_##suffix(const T* x, const float* bias, T* y, int n, int h, int w, int c, \
                            int oh, int ow, int size, int stride, int padding, int relu) {   \
    maxPool2d(x, bias, y, n, h, w, c, oh, ow, size, stride, padding, relu);                  \
  }                                                                                          \
  KERNEL adaptiveAvgPool2d_##suffix(const T* x, T* y, int n, int h, int w, int c, int oh,    \
                                    int ow) {                                                \
    adaptiveAvgPool2d(x, y, n, h, w, c, oh, ow);                                             \
  }
FOR_EACH_TYPE(POOL)
