#include "core/check_program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"

namespace vgg {
namespace {

constexpr int64_t kMaxDimension = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxElements = int64_t{1} << 53;  // JavaScript counts exactly up to this
constexpr int kMaxExtent = 65'536;                  // the limit for strides, paddings and windows

[[noreturn]] void refuse(const std::string& expected, const std::string& name,
                         const std::string& received) {
  throw ArgumentError("Expected " + expected + " for " + name + " but received " + received);
}

void requireInRange(int64_t value, int64_t min, int64_t max, const std::string& name) {
  if (value >= min && value <= max) return;
  refuse("an integer from " + std::to_string(min) + " to " + std::to_string(max), name,
         std::to_string(value));
}

void requireShape(const Shape& shape, const Shape& expected, const std::string& name) {
  if (shape != expected) refuse("shape " + toString(expected), name, toString(shape));
}

void checkValue(const Value& value, const std::string& name) {
  if (value.shape.size() != 1 && value.shape.size() != 3)
    refuse("1 or 3 dimensions", name, std::to_string(value.shape.size()));
  int64_t elements = 1;
  for (const int64_t dimension : value.shape) {
    requireInRange(dimension, 1, kMaxDimension, "a dimension of " + name);
    if (elements > kMaxElements / dimension)
      refuse("at most 2^53 elements", name, toString(value.shape));
    elements *= dimension;
  }
}

/** Returns the number of window positions along one side. */
int64_t outputLength(int64_t length, int64_t window, int64_t stride, int64_t padding,
                     const std::string& name) {
  const int64_t padded = length + 2 * padding;
  if (padded < window)
    refuse("a length of at least " + std::to_string(window) + " with its padding", name,
           std::to_string(padded));
  return (padded - window) / stride + 1;
}

class Checker {
 public:
  Checker(const Program& program, const std::vector<ParameterSpec>& parameters)
      : program_(program), parameters_(parameters), isMade_(program.values.size(), false) {}

  void check() {
    for (size_t i = 0; i < program_.values.size(); ++i)
      checkValue(program_.values[i], "value " + std::to_string(i));
    for (const int input : program_.inputs) {
      row_ = "the inputs";
      make(input, "an input");
      const auto& [shape, dtype] = program_.values[input];
      const bool isPixels = dtype == DType::kUint8 && shape.size() == 3;
      if (!isPixels && dtype != DType::kFloat32)
        refuse("float32, or uint8 of 3 dimensions,", named("an input"),
               dtypeName(dtype) + (" " + toString(shape)));
    }
    const std::vector<bool> isInput = isMade_;
    for (size_t i = 0; i < program_.ops.size(); ++i) {
      row_ = "row " + std::to_string(i);
      std::visit([this](const auto& op) { checkRow(op); }, program_.ops[i]);
    }
    row_ = "the outputs";
    for (const int output : program_.outputs) {
      use(output, "an output");
      if (isInput[output]) refuse("a computed value", named("an output"), "an input");
    }
  }

 private:
  [[nodiscard]] std::string named(const std::string& name) const { return name + " of " + row_; }

  const Value& at(int id, const std::string& name) const {
    requireInRange(id, 0, static_cast<int64_t>(program_.values.size()) - 1, named(name));
    return program_.values[id];
  }

  /** Returns a value that an earlier row computed, or an input. */
  const Value& use(int id, const std::string& name) const {
    const Value& value = at(id, name);
    if (!isMade_[id]) refuse("a value that was made before", named(name), std::to_string(id));
    return value;
  }

  const Shape& useFloats(int id, size_t rank) const {
    const auto& [shape, dtype] = use(id, "input");
    if (dtype != DType::kFloat32) refuse("float32", named("input"), dtypeName(dtype));
    if (rank != 0 && shape.size() != rank)
      refuse(std::to_string(rank) + " dimensions", named("input"), toString(shape));
    return shape;
  }

  void make(int id, const std::string& name) {
    at(id, name);
    if (isMade_[id]) refuse("a value that nothing else makes", named(name), std::to_string(id));
    isMade_[id] = true;
  }

  void make(int id, const std::string& name, const Shape& shape, DType dtype = DType::kFloat32) {
    make(id, name);
    requireShape(program_.values[id].shape, shape, named(name));
    const DType received = program_.values[id].dtype;
    if (received != dtype) refuse(dtypeName(dtype), named(name), dtypeName(received));
  }

  [[nodiscard]] const Shape& parameter(int id, const std::string& name) const {
    requireInRange(id, 0, static_cast<int64_t>(parameters_.size()) - 1, named(name));
    return parameters_[id].shape;
  }

  void useVector(int id, const std::string& name, int64_t length) const {
    requireShape(parameter(id, name), {length}, named(name));
  }

  /** Returns the shape of a weight (outputs, inputs, …). */
  [[nodiscard]] const Shape& useWeight(int id, size_t rank, int64_t inputs) const {
    const Shape& shape = parameter(id, "weight");
    const bool isPositive = std::ranges::all_of(
        shape, [](int64_t dimension) { return dimension >= 1 && dimension <= kMaxDimension; });
    if (shape.size() != rank || !isPositive || shape[1] != inputs)
      refuse("a weight of " + std::to_string(rank) + " dimensions for " + std::to_string(inputs) +
                 " inputs",
             named("weight"), toString(shape));
    return shape;
  }

  void checkRow(const Normalize& op) {
    const Value& input = use(op.input, "input");
    const bool isPixels = input.dtype == DType::kUint8;
    if (!isPixels) useFloats(op.input, 3);
    const Shape& in = input.shape;
    const Shape out = isPixels ? Shape{in[2], in[0], in[1]} : in;
    for (const auto* list : {&op.mean, &op.std}) {
      if (list->size() != static_cast<size_t>(out[0]))
        refuse(std::to_string(out[0]) + " numbers", named("mean and std"),
               std::to_string(list->size()));
    }
    make(op.output, "output", out);
  }

  void checkRow(const Conv2d& op) {
    const Shape& in = useFloats(op.input, 3);
    const Shape& weight = useWeight(op.weight, 4, in[0]);
    if (op.bias != kNone) useVector(op.bias, "bias", weight[0]);
    requireInRange(op.stride, 1, kMaxExtent, named("stride"));
    requireInRange(op.padding, 0, std::min<int64_t>(kMaxExtent, std::max(weight[2], weight[3]) - 1),
                   named("padding"));
    const std::string name = named("input");
    make(op.output, "output",
         {weight[0], outputLength(in[1], weight[2], op.stride, op.padding, name),
          outputLength(in[2], weight[3], op.stride, op.padding, name)});
  }

  void checkRow(const BatchNorm& op) {
    const Shape& in = useFloats(op.input, 3);
    useVector(op.weight, "weight", in[0]);
    useVector(op.bias, "bias", in[0]);
    useVector(op.mean, "mean", in[0]);
    useVector(op.variance, "variance", in[0]);
    make(op.output, "output", in);
  }

  void checkRow(const Relu& op) { make(op.output, "output", useFloats(op.input, 0)); }

  void checkRow(const MaxPool2d& op) {
    const Shape& in = useFloats(op.input, 3);
    requireInRange(op.size, 1, kMaxExtent, named("size"));
    requireInRange(op.stride, 1, kMaxExtent, named("stride"));
    requireInRange(op.padding, 0, op.size / 2, named("padding"));
    const std::string name = named("input");
    make(op.output, "output",
         {in[0], outputLength(in[1], op.size, op.stride, op.padding, name),
          outputLength(in[2], op.size, op.stride, op.padding, name)});
  }

  /** The output may have any height and width. */
  void checkRow(const AdaptiveAvgPool2d& op) {
    const Shape& in = useFloats(op.input, 3);
    const Shape& out = at(op.output, "output").shape;
    if (out.size() != 3) refuse("3 dimensions", named("output"), toString(out));
    make(op.output, "output", {in[0], out[1], out[2]});
  }

  void checkRow(const Flatten& op) {
    const Shape& in = useFloats(op.input, 3);
    make(op.output, "output", {in[0] * in[1] * in[2]});
  }

  void checkRow(const Gemm& op) {
    const Shape& weight = useWeight(op.weight, 2, useFloats(op.input, 1)[0]);
    if (op.bias != kNone) useVector(op.bias, "bias", weight[0]);
    make(op.output, "output", {weight[0]});
  }

  void checkRow(const Softmax& op) { make(op.output, "output", useFloats(op.input, 1)); }

  void checkRow(const TopK& op) {
    requireInRange(op.k, 1, useFloats(op.input, 1)[0], named("k"));
    make(op.output, "output", {op.k});
    make(op.indices, "indices", {op.k}, DType::kInt32);
  }

  const Program& program_;
  const std::vector<ParameterSpec>& parameters_;
  std::vector<bool> isMade_;
  std::string row_;  // the name, in messages, of the row that is being checked
};

}  // namespace

void checkProgram(const Program& program, const std::vector<ParameterSpec>& parameters) {
  Checker(program, parameters).check();
}

}  // namespace vgg
