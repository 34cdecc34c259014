#include "cpu/instruction_set.h"

#ifdef VGG_X86
#include <cpuid.h>
#endif

#include "core/error.h"

namespace vgg::cpu {
#ifdef VGG_X86
namespace {

/** Returns whether the CPU converts float16 (F16C). Older compilers do not know the feature's name.
 */
bool hasF16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace
#endif

const std::vector<const Kernels*>& availableKernels() {
  static const std::vector<const Kernels*> available = [] {
    std::vector<const Kernels*> list;
#ifdef VGG_X86
    __builtin_cpu_init();
    const bool hasAvx2 =
        __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && hasF16c();
    if (hasAvx2 && __builtin_cpu_supports("avx512f") != 0 &&
        __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
        __builtin_cpu_supports("avx512bw") != 0) {
      list.push_back(&avx512::kernels);
    }
    if (hasAvx2) list.push_back(&avx2::kernels);
#endif
    list.push_back(&portable::kernels);
    return list;
  }();
  return available;
}

const Kernels& chooseKernels(const std::string& name) {
  std::string names;
  for (const Kernels* kernels : availableKernels()) {
    if (name.empty() || name == kernels->name) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw Error(Code::kUnsupported,
              "Expected one of " + names + " for instructionSet but received " + name);
}

}  // namespace vgg::cpu
