// What a program must be before a back end trusts it: every index names something, every shape is
// what its row gives.
#pragma once

#include <vector>

#include "core/op.h"

namespace vgg {

/** @param parameters what the rows' parameter ids name. Throws ArgumentError. */
void checkProgram(const Program& program, const std::vector<ParameterSpec>& parameters);

}  // namespace vgg
