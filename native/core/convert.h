// The floating-point types in which weights are stored, as float32.
#pragma once

#include <cstddef>

#include "core/shape.h"

namespace vgg {

/** `count` elements of a floating-point dtype → float32: exact, but for float64, which is rounded
 * to nearest. */
void toFloat32(float* to, const std::byte* from, DType dtype, size_t count);

}  // namespace vgg
