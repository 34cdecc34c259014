// Helpers for the kernel tests: memory that the emulated GPU may access, conversion of element
// types to double, and counts of passes and failures.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "emulator/emulated_kernels.h"
// This must follow emulate.h (through emulated_kernels.h), because it uses its definitions.
#include "cuda/kernels/first_layer_filter.h"
#include "cuda/kernels/vector.h"

namespace test {

inline int passed = 0;
inline int failed = 0;

inline void expect(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED: %s\n", what.c_str());
}

/** How kernels use a range of memory: they write it, read what earlier kernels may have written, or
 * read what no kernel of the chain writes. */
enum class Memory { kResult, kInput, kParameter };

struct Range {
  const char* begin;
  const char* end;
  Memory memory;
};
inline std::vector<Range>& ranges() {
  static std::vector<Range> all;
  return all;
}
inline emulate::Window* allowedWindow(const void* address, size_t bytes, bool write) {
  static thread_local emulate::Window windows[2];
  const char* begin = static_cast<const char*>(address);
  for (const Range& range : ranges()) {
    if (begin < range.begin || begin + bytes > range.end) continue;
    if (write && range.memory != Memory::kResult) return nullptr;
    windows[write ? 1 : 0] = {range.begin, range.end, emulate::windowGeneration};
    return &windows[write ? 1 : 0];
  }
  return nullptr;
}

inline bool isParameter(const void* address, size_t bytes) {
  const char* begin = static_cast<const char*>(address);
  return std::any_of(ranges().begin(), ranges().end(), [&](const Range& range) {
    return range.memory == Memory::kParameter && begin >= range.begin && begin + bytes <= range.end;
  });
}

/** Device memory. Results start as bytes that are NaN in every type and never zero. */
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count, Memory memory = Memory::kResult) : count_(count) {
    data_ = static_cast<T*>(std::aligned_alloc(16, (count * sizeof(T) + 16) / 16 * 16));
    std::memset(static_cast<void*>(data_), 0xff, count * sizeof(T));
    const char* begin = reinterpret_cast<const char*>(data_);
    ranges().push_back({begin, begin + count * sizeof(T), memory});
  }
  ~Buffer() {
    std::erase_if(ranges(), [this](const Range& range) { return isMine(range); });
    std::free(data_);
  }
  /** Changes how the kernels that follow use it. */
  void become(Memory memory) {
    std::find_if(ranges().begin(), ranges().end(), [this](const Range& range) {
      return isMine(range);
    })->memory = memory;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return data_; }
  [[nodiscard]] size_t size() const { return count_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  [[nodiscard]] bool isMine(const Range& range) const {
    return range.begin == reinterpret_cast<const char*>(data_);
  }

  T* data_;
  size_t count_;
};

/** Properties of an element type, independent of the kernels' own conversions. */
template <typename T>
struct Type;
template <>
struct Type<float> {
  static constexpr const char* kName = "f32";
  static constexpr double kRoundoff = 0x1p-24;
  static float encode(double v) { return static_cast<float>(v); }
  static double decode(float v) { return v; }
};
template <>
struct Type<Half> {
  static constexpr const char* kName = "f16";
  static constexpr double kRoundoff = 0x1p-11;
  static Half encode(double v) {
    const _Float16 rounded = static_cast<_Float16>(v);
    Half h;
    std::memcpy(&h, &rounded, 2);
    return h;
  }
  static double decode(Half h) {
    _Float16 v;
    std::memcpy(&v, &h, 2);
    return static_cast<double>(v);
  }
};
template <>
struct Type<Bfloat> {
  static constexpr const char* kName = "bf16";
  static constexpr double kRoundoff = 0x1p-8;
  static Bfloat encode(double v) {
    if (std::isnan(v)) return {0x7fc0};
    if (v == 0 || std::isinf(v)) return cut(v);
    // Keeps eight significant bits. nearbyint rounds ties to even.
    int exponent;
    const double fraction = std::frexp(v, &exponent);
    return cut(std::ldexp(std::nearbyint(fraction * 256), exponent - 8));
  }
  static double decode(Bfloat b) {
    const uint32_t bits = static_cast<uint32_t>(b.bits) << 16;
    float v;
    std::memcpy(&v, &bits, 4);
    return v;
  }
  static Bfloat cut(double v) {
    const float narrow = static_cast<float>(v);
    uint32_t bits;
    std::memcpy(&bits, &narrow, 4);
    return {static_cast<unsigned short>(bits >> 16)};
  }
};

template <typename Body>
void forEachType(const Body& body) {
  body(float{});
  body(Half{});
  body(Bfloat{});
}

inline int roundUp(int count, int step) { return (count + step - 1) / step * step; }

inline std::mt19937& generator() {
  static std::mt19937 shared(1);
  return shared;
}
/** Normally distributed numbers, rounded to a type: the reference reads the stored values. */
template <typename T>
void fill(Buffer<T>& buffer, double spread = 1) {
  std::normal_distribution<double> normal(0, spread);
  for (size_t i = 0; i < buffer.size(); ++i) buffer[i] = Type<T>::encode(normal(generator()));
}
/** Activations. The padding after the channels is zero. */
template <typename T>
void fillPadded(Buffer<T>& buffer, int channels, int padded) {
  fill(buffer);
  for (size_t i = 0; i < buffer.size(); ++i) {
    if (static_cast<int>(i % static_cast<size_t>(padded)) >= channels) buffer[i] = T{};
  }
}

/** Counts elements that differ by more than one rounding of the result plus `slack` for its sums.
 * NaN equals only NaN. */
class Comparison {
 public:
  template <typename T>
  void add(T got, double want, double slack = 0) {
    const double g = Type<T>::decode(got);
    // A float sum near the midpoint of two results may round to either, so allow a little more than
    // half a step.
    const double allowed = std::abs(want) * Type<T>::kRoundoff * 1.01 + slack + 0x1p-25;
    const bool ok = std::isnan(want) || std::isinf(want)
                        ? (std::isnan(want) ? std::isnan(g) : g == want)
                        : std::abs(g - want) <= allowed;
    if (!ok && wrong++ == 0) first = std::to_string(g) + " for " + std::to_string(want);
    ++count;
  }
  [[nodiscard]] bool ok() const { return wrong == 0 && count > 0; }
  void report(const std::string& what) const {
    expect(ok(), what + ": " + std::to_string(wrong) + " of " + std::to_string(count) +
                     " wrong, first " + first);
  }

  int wrong = 0;
  int count = 0;
  std::string first;
};

/** Finds a kernel. Ends the test if there is no such kernel. */
inline const emulate::Kernel& find(const char* file, const std::string& name) {
  const emulate::Kernel* kernel = emulate::findKernel(file, name);
  if (kernel == nullptr) {
    std::printf("no kernel %s in %s\n", name.c_str(), file);
    std::exit(1);
  }
  return *kernel;
}
template <typename T>
const emulate::Kernel& find(const char* file, const char* name) {
  return find(file, std::string(name) + "_" + Type<T>::kName);
}
inline double rectified(double v, int relu) { return relu && v < 0 ? 0 : v; }
inline size_t at(long long i) { return static_cast<size_t>(i); }

/** Launches with geometry::kThreads threads per block. */
template <typename... P>
void launch(const emulate::Kernel& kernel, long long blocks, long long slices, P... parameters) {
  void* pointers[] = {&parameters...};
  kernel.launch({static_cast<unsigned>(blocks), static_cast<unsigned>(slices), 1},
                {geometry::kThreads, 1, 1}, 0, pointers);
}

void checkRows();
void checkPacking();
void checkFaults();
void checkFirstLayer();
void checkConvolution();

}  // namespace test
