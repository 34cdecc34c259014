#include "cpu/instruction_set.h"

#ifdef VGG_X86
#include <cpuid.h>
#endif

#include <cstdint>

#include "core/error.h"

namespace vgg::cpu {
#ifdef VGG_X86
namespace {

// The compiler's __builtin_cpu_supports is not used: the run-time library of some compilers has
// only a stand-in for it, which denies every feature, and older compilers lack names.
struct Features {
  bool avx2, avx512;
};

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

/** Returns zeros for a leaf that the CPU lacks. */
Registers cpuid(unsigned leaf) {
  Registers registers;
  __get_cpuid_count(leaf, 0, &registers.a, &registers.b, &registers.c, &registers.d);
  return registers;
}

/** Returns XCR0: a bit for each set of registers that the system saves when it switches threads.
 * Needs OSXSAVE. */
uint64_t savedRegisters() {
  unsigned low = 0;
  unsigned high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

constexpr bool hasAll(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

Features detectFeatures() {
  // Leaf 1, ECX.
  constexpr unsigned kFma = 1U << 12;
  constexpr unsigned kOsxsave = 1U << 27;
  constexpr unsigned kAvx = 1U << 28;
  constexpr unsigned kF16c = 1U << 29;
  // Leaf 7, EBX.
  constexpr unsigned kAvx2 = 1U << 5;
  constexpr unsigned kAvx512 = 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31;  // F, DQ, BW, VL
  // XCR0: XMM and the upper halves of YMM; with the mask registers and all of ZMM.
  constexpr uint64_t kYmm = 0x06;
#ifdef __APPLE__
  // macOS saves ZMM for a thread only after its first use, and XCR0 lacks its bits before.
  constexpr uint64_t kZmm = kYmm;
#else
  constexpr uint64_t kZmm = 0xE6;
#endif
  if (!hasAll(cpuid(1).c, kFma | kOsxsave | kAvx | kF16c)) return {false, false};
  const unsigned extended = cpuid(7).b;
  const uint64_t saved = savedRegisters();
  const bool hasAvx2 = hasAll(extended, kAvx2) && hasAll(saved, kYmm);
  return {hasAvx2, hasAvx2 && hasAll(extended, kAvx512) && hasAll(saved, kZmm)};
}

}  // namespace
#endif

const std::vector<const Kernels*>& availableKernels() {
  static const std::vector<const Kernels*> available = [] {
    std::vector<const Kernels*> list;
#ifdef VGG_X86
    const Features features = detectFeatures();
    if (features.avx512) list.push_back(&avx512::kernels);
    if (features.avx2) list.push_back(&avx2::kernels);
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
