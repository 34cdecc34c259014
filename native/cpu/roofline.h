// What this machine reaches at most: apart from the kernels of layers, which are held against it.
#pragma once

#include <string_view>

#include "core/backend.h"
#include "core/threads/parallel.h"

namespace vgg::cpu {

/** Float32 multiply-adds in registers, and reading memory far larger than any cache, on all threads
 * of the pool; the best of some tries, a second in all. A part that cannot be measured is 0.
 * instructionSet: the name of the kernels in use (cpu/kernels.h). */
Roofline measureRoofline(ThreadPool& pool, std::string_view instructionSet);

}  // namespace vgg::cpu
