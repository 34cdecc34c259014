// The addon's own kernels, compiled as C++, by name.
#pragma once

#include <string_view>

#include "emulator/emulate.h"

namespace emulate {

/** Finds a kernel. `file` is named as in native/cuda/kernels ("pool.cu"). Null if it is missing. */
const Kernel* findKernel(std::string_view file, std::string_view name);

}  // namespace emulate
