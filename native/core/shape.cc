#include "core/shape.h"

#include "core/error.h"

namespace vgg {

size_t checkedMultiply(size_t a, size_t b) {
  size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw Error(Code::kOutOfMemory, "A size of " + std::to_string(a) + " × " + std::to_string(b) +
                                        " elements exceeds the address space");
  }
  return product;
}

size_t elementCount(const Shape& shape) {
  size_t count = 1;
  for (const int64_t dimension : shape)
    count = checkedMultiply(count, static_cast<size_t>(dimension));
  return count;
}

std::string toString(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace vgg
