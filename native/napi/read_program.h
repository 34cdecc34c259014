// The recorded graph from JavaScript → Program: the mirror of lib/graph/ops.ts.
#pragma once

#include <napi.h>

#include "core/op.h"
#include "core/precision.h"
#include "core/shape.h"

namespace vgg::napi {

Program readProgram(const Napi::Object& record);
/** A dtype by its name in JavaScript. Throws Error kInternal. */
DType readDType(const std::string& name);
/** Throws Error kUnsupported for any other name. */
Precision readPrecision(const std::string& name);
std::vector<ParameterSpec> readParameterSpecs(const Napi::Array& list);

}  // namespace vgg::napi
