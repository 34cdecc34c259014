// The recorded program: one struct per operation, which mirrors the row types in lib/graph/ops.ts.
// Values and parameters are referred to by index. Shapes in comments include the batch dimension N.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/shape.h"

namespace vgg {

constexpr int kNone = -1;

/** input uint8 (N, H, W, C), scaled by 1/255, or float32 (N, C, H, W) → (x - mean[c]) / std[c], (N,
 * C, H, W). */
struct Normalize {
  int input, output;
  std::vector<float> mean, std;
};

/** input (N, C, H, W), scale, shift, mean, variance (C) → (x - mean) / √(variance + epsilon) ·
 * scale + shift. */
struct BatchNorm {
  int input, output;
  int weight, bias, mean, variance;
  float epsilon;
  bool relu;
};

/** input (N, C, H, W), weight (K, C, R, S), bias (K) → (N, K, H', W'). */
struct Conv2d {
  int input, output;
  int weight, bias;  // bias may be kNone
  int stride, padding;
  bool relu;
  std::optional<BatchNorm>
      batchNorm{};    // set by foldBatchNorm: applied to the weights, not at run time
  bool pool = false;  // set by a back end that fuses a 2 × 2 max pool of stride 2 into the step
};

struct Relu {
  int input, output;
};

/** input (N, C, H, W) → (N, C, H', W'). Padding is never the max; a NaN in the window always is. */
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

struct Value {
  Shape shape;  // of one image
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

/** Calls visit(value) for each value that the operation reads. */
template <typename Visit>
void forEachInput(const Op& op, Visit visit) {
  std::visit([&](const auto& o) { visit(o.input); }, op);
}

/** Returns the value that the operation computes: the first if there are two. */
inline int outputOf(const Op& op) {
  return std::visit([](const auto& o) { return o.output; }, op);
}

/** Calls visit(value) for each value that the operation computes. */
template <typename Visit>
void forEachOutput(const Op& op, Visit visit) {
  std::visit([&](const auto& o) { visit(o.output); }, op);
  if (const auto* topK = std::get_if<TopK>(&op)) visit(topK->indices);
}

}  // namespace vgg
