// Reads arguments from JavaScript. A wrong type is a TypeError, a value out of range a RangeError.
// Nothing is coerced, so that no code of the caller runs in between.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace vgg::napi {

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;
constexpr int64_t kMaxDimension = (int64_t{1} << 31) - 1;

int64_t integerOf(const Napi::Value& value, const char* name, int64_t min, int64_t max);
float floatOf(const Napi::Value& value, const char* name);
bool booleanOf(const Napi::Value& value, const char* name);
std::string stringOf(const Napi::Value& value, const char* name);
Napi::Object objectOf(const Napi::Value& value, const char* name);

template <typename T, typename Read>
std::vector<T> listOf(const Napi::Value& value, const char* name, const Read& read);

/** Returns an own property of the object, or undefined. Object.prototype is ignored, because it may
 * hold anything. */
Napi::Value ownProperty(const Napi::Object& object, const char* name);

/** Defines an own property. An assignment would call a setter of Object.prototype. */
template <typename T>
void setOwn(Napi::Object object, const char* name, const T& value) {
  object.DefineProperty(Napi::PropertyDescriptor::Value(
      name, Napi::Value::From(object.Env(), value), napi_default_jsproperty));
}

[[noreturn]] void throwTypeError(const char* expected, const char* name, const Napi::Value& value);

template <typename T, typename Read>
std::vector<T> listOf(const Napi::Value& value, const char* name, const Read& read) {
  if (!value.IsArray()) throwTypeError("an array", name, value);
  const auto array = value.As<Napi::Array>();
  const uint32_t length = array.Length();
  std::vector<T> items;  // not reserved: an empty array may claim any length
  for (uint32_t i = 0; i < length; ++i) {
    const Napi::HandleScope scope(value.Env());
    items.push_back(read(array.Get(i)));
  }
  return items;
}

}  // namespace vgg::napi
