// What this GPU reaches at most: apart from the steps of executables, which are held against it.
#pragma once

#include "core/backend.h"
#include "cuda/nvidia/context.h"

namespace vgg::cuda {

/** A large matrix product by cuBLASLt in the precision, and copies from device memory to device
 * memory, each byte counted where it is read and where it is written. A part that cannot be
 * measured is 0. On the device's thread. Throws Error kDeviceLost. */
Roofline measureRoofline(Context& context, Precision precision);

}  // namespace vgg::cuda
