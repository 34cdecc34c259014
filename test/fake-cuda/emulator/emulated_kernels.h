// The addon's own kernels, compiled as C++, by name.
#pragma once

#include <string_view>

#include "emulator/emulate.h"

namespace emulate {

/** `file` as in native/cuda/kernels ("pool.cu"); null where there is no such kernel. */
const Kernel* findKernel(std::string_view file, std::string_view name);

}  // namespace emulate
