// checkProgram accepts a sample, and refuses each program that differs from it in one bad number.
#include "core/check_program.h"

#include <limits>
#include <type_traits>

#include "core/error.h"
#include "expect.h"

namespace vgg {
namespace {

/** A program with each operation once. */
struct Sample {
  Program program{.values = {{{8, 8, 3}, DType::kUint8},
                             {{3, 8, 8}, DType::kFloat32},
                             {{4, 4, 4}, DType::kFloat32},
                             {{4, 4, 4}, DType::kFloat32},
                             {{4, 4, 4}, DType::kFloat32},
                             {{4, 3, 3}, DType::kFloat32},
                             {{4, 2, 2}, DType::kFloat32},
                             {{16}, DType::kFloat32},
                             {{10}, DType::kFloat32},
                             {{10}, DType::kFloat32},
                             {{5}, DType::kFloat32},
                             {{5}, DType::kInt32}},
                  .ops = {Normalize{0, 1, {0, 0, 0}, {1, 1, 1}}, Conv2d{1, 2, 0, 1, 2, 1, true},
                          BatchNorm{2, 3, 1, 2, 3, 4, 1e-5F, false}, Relu{3, 4},
                          MaxPool2d{4, 5, 2, 2, 1}, AdaptiveAvgPool2d{5, 6}, Flatten{6, 7},
                          Gemm{7, 8, 5, 6, false}, Softmax{8, 9}, TopK{9, 10, 11, 5}},
                  .inputs = {0},
                  .outputs = {4, 10, 11}};
  std::vector<ParameterSpec> parameters{
      {"filter", {4, 3, 3, 3}}, {"bias", {4}}, {"shift", {4}}, {"mean", {4}}, {"var", {4}},
      {"weight", {10, 16}},     {"last", {10}}};
};

bool isRefused(const Sample& sample) {
  try {
    checkProgram(sample.program, sample.parameters);
    return false;
  } catch (const ArgumentError&) {
    return true;
  }
}

/** Calls visit(number) for each index, size and dimension of the sample. */
template <typename Visit>
void forEachNumber(Sample& sample, const Visit& visit) {
  for (Value& value : sample.program.values) {
    for (int64_t& dimension : value.shape) visit(dimension);
  }
  for (ParameterSpec& spec : sample.parameters) {
    for (int64_t& dimension : spec.shape) visit(dimension);
  }
  for (int& input : sample.program.inputs) visit(input);
  for (int& output : sample.program.outputs) visit(output);
  for (Op& op : sample.program.ops) {
    std::visit(
        [&](auto& o) {
          visit(o.input);
          visit(o.output);
          if constexpr (requires { o.weight; }) visit(o.weight);
          if constexpr (requires { o.bias; }) visit(o.bias);
          if constexpr (requires { o.mean + 0; }) visit(o.mean);
          if constexpr (requires { o.variance; }) visit(o.variance);
          if constexpr (requires { o.size; }) visit(o.size);
          if constexpr (requires { o.stride; }) visit(o.stride);
          if constexpr (requires { o.padding; }) visit(o.padding);
          if constexpr (requires { o.indices; }) visit(o.indices);
          if constexpr (requires { o.k; }) visit(o.k);
        },
        op);
  }
}

void refusesEachWrongNumber() {
  int count = 0;
  Sample good;
  EXPECT(!isRefused(good));
  forEachNumber(good, [&](auto&) { ++count; });
  for (int at = 0; at < count; ++at) {
    for (const int wrong : {-7, 12, 70'000, std::numeric_limits<int>::max()}) {
      Sample sample;
      int i = 0;
      forEachNumber(sample, [&](auto& number) {
        if (i++ == at) number = wrong;
      });
      if (!isRefused(sample)) std::printf("number %d as %d\n", at, wrong);
      EXPECT(isRefused(sample));
    }
  }
}

/** Expects that a sample is refused after `change`. */
template <typename Change>
void refuses(const Change& change) {
  Sample sample;
  change(sample.program);
  EXPECT(isRefused(sample));
}

void refusesWhatNoNumberSays() {
  refuses([](Program& p) { p.values[1].dtype = DType::kFloat16; });
  refuses([](Program& p) { p.values[11].dtype = DType::kFloat32; });
  refuses([](Program& p) { p.values[8].shape = {}; });
  refuses([](Program& p) { p.values[6].shape = {4, 2}; });
  refuses([](Program& p) { std::get<Normalize>(p.ops[0]).mean = {0}; });
  refuses([](Program& p) { p.inputs = {0, 0}; });
  refuses([](Program& p) { p.outputs = {0}; });
  refuses([](Program& p) { std::swap(p.ops[1], p.ops[2]); });  // Read before it is made.
  refuses([](Program& p) { p.ops.push_back(p.ops[3]); });      // Made twice.
  refuses([](Program& p) { p.values.push_back({{1 << 30, 1 << 30, 1}, DType::kFloat32}); });
}

}  // namespace

void testCheckProgram() {
  refusesEachWrongNumber();
  refusesWhatNoNumberSays();
}

}  // namespace vgg
