// Validates a program before a back end trusts it: every index must be in range, and every shape
// must match its row.
#pragma once

#include <vector>

#include "core/op.h"

namespace vgg {

/** @param parameters the list that the rows' parameter ids index. Throws ArgumentError. */
void checkProgram(const Program& program, const std::vector<ParameterSpec>& parameters);

}  // namespace vgg
