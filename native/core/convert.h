// Converts stored floating-point types of weights to float32.
#pragma once

#include <cstddef>

#include "core/shape.h"

namespace vgg {

/** Converts `count` elements of a floating-point dtype to float32. The result is exact, except that
 * float64 is rounded to nearest. */
void toFloat32(float* to, const std::byte* from, DType dtype, size_t count);

}  // namespace vgg
