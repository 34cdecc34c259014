// Measures the highest rates that this GPU reaches, to compare the steps of executables with them.
// No step is run for it.
#pragma once

#include "core/backend.h"
#include "cuda/nvidia/context.h"

namespace vgg::cuda {

/** Measures a large matrix product with cuBLASLt in the precision, and copies from device memory to
 * device memory. Each byte counts twice: when it is read and when it is written. A rate that cannot
 * be measured is 0. Called on the device's thread. Throws Error kDeviceLost. */
Roofline measureRoofline(Context& context, Precision precision);

}  // namespace vgg::cuda
