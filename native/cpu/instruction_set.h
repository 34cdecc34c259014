// Selects among the compiled variants of the kernels: the ones that this machine can run, and the
// best one.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace vgg::cpu {

/** Returns the kernels that this machine can run, the fastest first. Never empty. */
const std::vector<const Kernels*>& availableKernels();

/** Returns the kernels with this name, or the fastest for "". Throws Error kUnsupported, which
 * names the available ones. */
const Kernels& chooseKernels(const std::string& name);

}  // namespace vgg::cpu
