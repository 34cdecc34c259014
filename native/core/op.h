// The recorded program: one struct per operation, which mirrors the row types in lib/graph/ops.ts.
// Values and parameters are referred to by index. Shapes in comments include the batch dimension N.
#pragma once

#include <array>
#include <concepts>
#include <string>
#include <variant>
#include <vector>

#include "core/shape.h"

namespace vgg {

constexpr int kNone = -1;

/** A few values or parameters, without entries that are kNone. */
class Indices {
  static constexpr size_t kMax = 4;

 public:
  template <std::same_as<int>... Ints>
    requires(sizeof...(Ints) <= kMax)
  constexpr Indices(Ints... list) {
    ((list == kNone ? void() : void(list_[size_++] = list)), ...);
  }
  [[nodiscard]] constexpr const int* begin() const { return list_.data(); }
  [[nodiscard]] constexpr const int* end() const { return list_.data() + size_; }
  /** Returns the first entry, which must exist. */
  [[nodiscard]] constexpr int front() const { return list_.front(); }

 private:
  std::array<int, kMax> list_{};
  size_t size_ = 0;
};

/** input uint8 (N, H, W, C), scaled by 1/255, or float32 (N, C, H, W) → (x - mean[c]) / std[c], (N,
 * C, H, W). */
struct Normalize {
  int input, output;
  std::vector<float> mean, std;
};

/** input (N, C, H, W), weight (K, C, R, S), bias (K) → (N, K, H', W'). */
struct Conv2d {
  int input, output;
  int weight, bias;  // bias may be kNone
  int stride, padding;
  bool relu;
  bool precise = false;  // accept only the smallest rounding errors, on a CPU
};

/** input (N, C, H, W), scale, shift, mean, variance (C) → (x - mean) / √(variance + epsilon) ·
 * scale + shift. */
struct BatchNorm {
  int input, output;
  int weight, bias, mean, variance;
  float epsilon;
  bool relu;
};

struct Relu {
  int input, output;
};

/** input (N, C, H, W) → (N, C, H', W'). Padding is never the maximum; a NaN in the window always
 * is. */
struct MaxPool2d {
  int input, output;
  int size, stride, padding;
};

/** input (N, C, H, W) → (N, C, outputHeight, outputWidth), with PyTorch's bins. */
struct AdaptiveAvgPool2d {
  int input, output;
};

/** input (N, C, H, W) → (N, C·H·W) in that order. */
struct Flatten {
  int input, output;
};

/** input (N, I), weight (O, I), bias (O) → (N, O). */
struct Gemm {
  int input, output;
  int weight, bias;  // bias may be kNone
  bool relu;
};

/** input (N, F) → (N, F); each row sums to 1. */
struct Softmax {
  int input, output;
};

/** input (N, F) → values (N, k) in descending order and their indices (N, k) int32. NaN counts as
 * the greatest. */
struct TopK {
  int input, output, indices;
  int k;
};

using Op = std::variant<Normalize, Conv2d, BatchNorm, Relu, MaxPool2d, AdaptiveAvgPool2d, Flatten,
                        Gemm, Softmax, TopK>;

/** Expands `apply`(Kind) for each kind of operation, for code that has one overload for each. */
#define VGG_FOR_EACH_OPERATION(apply)                                          \
  apply(Normalize) apply(Conv2d) apply(BatchNorm) apply(Relu) apply(MaxPool2d) \
      apply(AdaptiveAvgPool2d) apply(Flatten) apply(Gemm) apply(Softmax) apply(TopK)

struct Value {
  Shape shape;  // one image's
  DType dtype;
};

struct ParameterSpec {
  std::string name;
  Shape shape;
};

struct Program {
  std::vector<Value> values;
  std::vector<Op> ops;
  std::vector<int> inputs,
      outputs;  // value indices, in the order of the arguments of `run`
};

// The values that an operation reads and computes, and the parameters that it reads. An operation
// without these three overloads is a compile error.

inline Indices inputsOf(const Normalize& op) { return {op.input}; }
inline Indices outputsOf(const Normalize& op) { return {op.output}; }
inline Indices parametersOf(const Normalize&) { return {}; }

inline Indices inputsOf(const Conv2d& op) { return {op.input}; }
inline Indices outputsOf(const Conv2d& op) { return {op.output}; }
inline Indices parametersOf(const Conv2d& op) { return {op.weight, op.bias}; }

inline Indices inputsOf(const BatchNorm& op) { return {op.input}; }
inline Indices outputsOf(const BatchNorm& op) { return {op.output}; }
inline Indices parametersOf(const BatchNorm& op) {
  return {op.weight, op.bias, op.mean, op.variance};
}

inline Indices inputsOf(const Relu& op) { return {op.input}; }
inline Indices outputsOf(const Relu& op) { return {op.output}; }
inline Indices parametersOf(const Relu&) { return {}; }

inline Indices inputsOf(const MaxPool2d& op) { return {op.input}; }
inline Indices outputsOf(const MaxPool2d& op) { return {op.output}; }
inline Indices parametersOf(const MaxPool2d&) { return {}; }

inline Indices inputsOf(const AdaptiveAvgPool2d& op) { return {op.input}; }
inline Indices outputsOf(const AdaptiveAvgPool2d& op) { return {op.output}; }
inline Indices parametersOf(const AdaptiveAvgPool2d&) { return {}; }

inline Indices inputsOf(const Flatten& op) { return {op.input}; }
inline Indices outputsOf(const Flatten& op) { return {op.output}; }
inline Indices parametersOf(const Flatten&) { return {}; }

inline Indices inputsOf(const Gemm& op) { return {op.input}; }
inline Indices outputsOf(const Gemm& op) { return {op.output}; }
inline Indices parametersOf(const Gemm& op) { return {op.weight, op.bias}; }

inline Indices inputsOf(const Softmax& op) { return {op.input}; }
inline Indices outputsOf(const Softmax& op) { return {op.output}; }
inline Indices parametersOf(const Softmax&) { return {}; }

inline Indices inputsOf(const TopK& op) { return {op.input}; }
inline Indices outputsOf(const TopK& op) { return {op.output, op.indices}; }
inline Indices parametersOf(const TopK&) { return {}; }

// These are templates, so that a kind of operation without its overload does not convert to an Op.
template <std::same_as<Op> AnyOp>
Indices inputsOf(const AnyOp& op) {
  return std::visit([](const auto& o) { return inputsOf(o); }, op);
}
template <std::same_as<Op> AnyOp>
Indices outputsOf(const AnyOp& op) {
  return std::visit([](const auto& o) { return outputsOf(o); }, op);
}
template <std::same_as<Op> AnyOp>
Indices parametersOf(const AnyOp& op) {
  return std::visit([](const auto& o) { return parametersOf(o); }, op);
}

/** Returns the value that the operation computes: the first if there are two. */
inline int outputOf(const Op& op) { return outputsOf(op).front(); }

}  // namespace vgg
