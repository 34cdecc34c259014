// Which compilation of the kernels this machine can run, and which one it should.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace vgg::cpu {

/** The kernels that this machine can run, the fastest first. Never empty. */
const std::vector<const Kernels*>& availableKernels();

/** The kernels of that name; the fastest for "". Throws Error kUnsupported that names those this
 * machine has. */
const Kernels& chooseKernels(const std::string& name);

}  // namespace vgg::cpu
