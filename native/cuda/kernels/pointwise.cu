// Operations on single elements.
#include "vector.h"

namespace {

// y = x * scale[c] + shift[c]. Either may be missing.
template <typename T>
__forceinline__ void affine(const T* x, const float* scale, const float* shift, T* y,
                            long long vectors, int channels, int relu) {
  constexpr int kV = kVector<T>;
  const long long index = threadIndex();
  launchNext();
  waitForPrevious();
  if (index >= vectors) return;
  long long pixel = index;
  const int vector = takeDigit(pixel, channels / kV);
  float v[kV];
  loadVector(x, index, v);
  for (int part = 0; part < kV / 4; ++part) {
    float terms[4];
    if (scale) {
      loadVector(scale, vector * (kV / 4) + part, terms);
      for (int i = 0; i < 4; ++i) v[part * 4 + i] *= terms[i];
    }
    if (shift) {
      loadVector(shift, vector * (kV / 4) + part, terms);
      for (int i = 0; i < 4; ++i) v[part * 4 + i] += terms[i];
    }
  }
  if (relu) {
    for (int i = 0; i < kV; ++i) v[i] = rectify(v[i]);
  }
  storeVector(y, index, v);
}

}  // namespace

#define POINTWISE(suffix, T)                                                       \
  KERNEL affine_##suffix(const T* x, const float* scale, const float* shift, T* y, \
                         long long vectors, int channels, int relu) {              \
    affine(x, scale, shift, y, vectors, channels, relu);                           \
  }
FOR_EACH_TYPE(POINTWISE)
