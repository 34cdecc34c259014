// Measures the most that this GPU reaches. The steps of executables are compared with it, and are
// no part of it.
#pragma once

#include "core/backend.h"
#include "cuda/nvidia/context.h"

namespace vgg::cuda {

/** Measures a large matrix product by cuBLASLt in the precision, and copies from device memory to
 * device memory. Each byte counts twice: when it is read and when it is written. A part that cannot
 * be measured is 0. Called on the device's thread. Throws Error kDeviceLost. */
Roofline measureRoofline(Context& context, Precision precision);

}  // namespace vgg::cuda
