// The arithmetic of a model: how weights and activations are stored, and where rounding may happen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace vgg {

enum class Precision : std::uint8_t {
  kFloat32,   // every product in float32
  kTf32,      // stored in float32, multiplied with 10 bits of mantissa
  kFloat16,   // stored in float16, accumulated in float32
  kBfloat16,  // stored in bfloat16, accumulated in float32
};

/** Returns the name of the precision in JavaScript (lib/device/device.ts). */
constexpr const char* precisionName(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kFloat16:
      return "float16";
    case Precision::kBfloat16:
      return "bfloat16";
  }
  return "float32";
}

/** Throws Error kUnsupported if `precision` is not in `offered`. The message names the offered
 * ones.
 */
inline void requireOffered(Precision precision, const std::vector<Precision>& offered,
                           const std::string& who) {
  std::string names;
  for (const Precision each : offered) {
    if (each == precision) return;
    names += (names.empty() ? "" : ", ") + std::string(precisionName(each));
  }
  throw Error(Code::kUnsupported,
              who + " computes in " + names + ", not in " + precisionName(precision));
}

}  // namespace vgg
