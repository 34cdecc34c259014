// Measures the machine's peak rates, independently of the layers' kernels, which are compared with
// them.
#pragma once

#include <string_view>

#include "core/backend.h"
#include "core/threads/parallel.h"

namespace vgg::cpu {

/** Measures float32 multiply-adds in registers, and reads of memory far larger than any cache, on
 * all threads of the pool. Takes the best of some tries, a second in all. A rate that cannot be
 * measured is 0. instructionSet: the name of the kernels in use (cpu/kernels.h). */
Roofline measureRoofline(ThreadPool& pool, std::string_view instructionSet);

}  // namespace vgg::cpu
