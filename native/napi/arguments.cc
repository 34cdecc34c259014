#include "napi/arguments.h"

#include <cmath>
#include <cstdio>

#include "core/error.h"

namespace vgg::napi {
namespace {

const char* typeOf(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    case napi_bigint:
      return "a bigint";
    default:
      return value.IsArray() ? "an array" : "an object";
  }
}

std::string textOf(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.17g", number);
  return text;
}

}  // namespace

void throwTypeError(const char* expected, const char* name, const Napi::Value& value) {
  throw Napi::TypeError::New(value.Env(), std::string("Expected ") + expected + " for " + name +
                                              " but received " + typeOf(value));
}

int64_t integerOf(const Napi::Value& value, const char* name, int64_t min, int64_t max) {
  if (!value.IsNumber()) throwTypeError("an integer", name, value);
  const double number = value.As<Napi::Number>().DoubleValue();
  // Infinity equals its own floor; NaN equals nothing.
  const bool isWithin = number >= static_cast<double>(min) && number <= static_cast<double>(max);
  if (!isWithin || std::floor(number) != number) {
    throw ArgumentError("Expected an integer from " + std::to_string(min) + " to " +
                        std::to_string(max) + " for " + name + " but received " + textOf(number));
  }
  return static_cast<int64_t>(number);
}

float floatOf(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) throwTypeError("a number", name, value);
  return value.As<Napi::Number>().FloatValue();
}

bool booleanOf(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) throwTypeError("a boolean", name, value);
  return value.As<Napi::Boolean>().Value();
}

std::string stringOf(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throwTypeError("a string", name, value);
  return value.As<Napi::String>();
}

Napi::Object objectOf(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throwTypeError("an object", name, value);
  return value.As<Napi::Object>();
}

Napi::Value ownProperty(const Napi::Object& object, const char* name) {
  return object.HasOwnProperty(name) ? object.Get(name) : object.Env().Undefined();
}

}  // namespace vgg::napi
