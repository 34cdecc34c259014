// The arithmetic of a model: how weights and activations are kept, and what may be rounded on the
// way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"

namespace vgg {

enum class Precision : std::uint8_t {
  kFloat32,   // every product in float32
  kTf32,      // kept in float32, multiplied with 10 bits of mantissa
  kFloat16,   // kept in float16, added up in float32
  kBfloat16,  // kept in bfloat16, added up in float32
};

/** The names that `Precision` has in JavaScript (lib/device/device.ts). */
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

/** Throws Error kUnsupported, which names those that `who` offers, unless the precision is one. */
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
