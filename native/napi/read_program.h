// Reads the recorded graph from JavaScript into a Program. Mirrors lib/graph/ops.ts.
#pragma once

#include <napi.h>

#include "core/op.h"
#include "core/precision.h"
#include "core/shape.h"

namespace vgg::napi {

/** Returns a checked program. Throws ArgumentError or TypeError unless a back end may trust it. */
Program readProgram(const Napi::Value& value, const std::vector<ParameterSpec>& parameters);
/** Reads a dtype by its name in JavaScript. Throws ArgumentError. */
DType readDType(const Napi::Value& value);
/** Reads a precision by its name in JavaScript. Throws Error kUnsupported for any other name. */
Precision readPrecision(const Napi::Value& value);
std::vector<ParameterSpec> readParameterSpecs(const Napi::Value& value);

}  // namespace vgg::napi
