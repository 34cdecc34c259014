// The recorded graph from JavaScript → Program: the mirror of lib/graph/ops.ts.
#pragma once

#include <napi.h>

#include "core/op.h"

namespace vgg::napi {

Program readProgram(const Napi::Object& record);
std::vector<ParameterSpec> readParameterSpecs(const Napi::Array& list);

}  // namespace vgg::napi
