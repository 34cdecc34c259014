#include "fixture.h"

#include <cmath>

CUcontext context = nullptr;
CUstream stream = nullptr;
cudnnHandle_t cudnn = nullptr;

namespace {

uint32_t seed = 1;
float nextRandom() {
  seed = seed * 1664525U + 1013904223U;
  return static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5F;
}

fake::Type typeOf(int type) {
  return type == CUDNN_DATA_FLOAT  ? fake::Type::kFloat
         : type == CUDNN_DATA_HALF ? fake::Type::kHalf
                                   : fake::Type::kBfloat16;
}

}  // namespace

std::vector<float> randoms(size_t count) {
  std::vector<float> all(count);
  for (float& each : all) each = nextRandom();
  return all;
}

Buffer::Buffer(size_t count, int dataType) : count(count), type(typeOf(dataType)) {
  OK(cuMemAlloc_v2(&pointer, count * sizeOf(type)));
}

Buffer::Buffer(std::vector<float>& values, int dataType) : Buffer(values.size(), dataType) {
  std::vector<char> bytes(count * sizeOf(type));
  fake::narrow(values.data(), type, count, bytes.data());
  fake::widen(bytes.data(), type, count, fake::Rounding::kNone, values.data());
  OK(cuMemcpyHtoDAsync_v2(pointer, bytes.data(), bytes.size(), stream));
}

std::vector<float> Buffer::read() const {
  std::vector<char> bytes(count * sizeOf(type));
  OK(cuMemcpyDtoHAsync_v2(bytes.data(), pointer, bytes.size(), stream));
  std::vector<float> values(count);
  fake::widen(bytes.data(), type, count, fake::Rounding::kNone, values.data());
  return values;
}

float farthest(const std::vector<float>& a, const std::vector<float>& b) {
  float worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size(); ++i) worst = std::fmax(worst, std::fabs(a[i] - b[i]));
  return worst;
}
