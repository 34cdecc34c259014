#include "cuda/ops/gemm/linear_check.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda/known_numbers.h"

namespace vgg::cuda {
namespace {

constexpr int64_t kMaxWeightBytes = int64_t{4} << 20;
// The rows of the weight repeat after this many different ones. No tile, strip or block has 61
// rows.
constexpr int64_t kRows = 61;

/** Returns the layer with as many outputs as the check has memory for, in whole vectors. */
LinearShape withFewOutputs(LinearShape layer) {
  const auto elementBytes = static_cast<int64_t>(byteSize(layer.type));
  const int64_t vector = 16 / elementBytes;
  const int64_t most = kMaxWeightBytes / (layer.inputs * elementBytes) / vector * vector;
  layer.outputs = std::min(layer.outputs, std::max(most, vector));
  return layer;
}

size_t bytesOf(int64_t count, Type type) { return static_cast<size_t>(count) * byteSize(type); }

int inputAt(int64_t index) {
  const uint32_t bits = scatter(index);
  return bits % 2 == 0 ? 0 : static_cast<int>(bits / 2 % 7) - 3;
}
int weightAt(int64_t row, int64_t column, int64_t columns) {
  return static_cast<int>(scatter(~(row % kRows * columns + column)) % 3) - 1;
}
int biasAt(int64_t output) { return static_cast<int>(scatter(output) % 65) - 32; }

}  // namespace

LinearCheck::LinearCheck(Context& context, const LinearShape& layer)
    : context_(context),
      shape_(withFewOutputs(layer)),
      weight_(context, bytesOf(shape_.outputs * shape_.inputs, shape_.type), nullptr),
      input_(context, bytesOf(shape_.batch * shape_.inputs, shape_.type), nullptr),
      bias_(context, bytesOf(shape_.outputs, Type::kFloat32), nullptr),
      output_(context, bytesOf(shape_.batch * shape_.outputs, shape_.outputType), nullptr) {
  const int64_t columns = shape_.inputs;
  upload(context, weight_.address(), dtypeOf(shape_.type), 0, shape_.outputs * columns,
         [columns](int64_t i) { return weightAt(i / columns, i % columns, columns); });
  upload(context, input_.address(), dtypeOf(shape_.type), 0, shape_.batch * columns, inputAt);
  upload(context, bias_.address(), DType::kFloat32, 0, shape_.outputs, biasAt);
}

bool LinearCheck::passes(const std::function<void(const LinearBuffers&)>& kernel) const {
  for (int i = 0; i < 2; ++i) {
    poison(context_, output_.address(), output_.bytes());
    kernel({weight_.address(), input_.address(), bias_.address(), output_.address()});
    if (!isRight()) return false;
  }
  return true;
}

bool LinearCheck::isRight() const {
  const auto& [batch, inputs, outputs, type, outputType, relu] = shape_;
  const std::vector<float> values = download(context_, output_.address(), dtypeOf(outputType),
                                             static_cast<size_t>(batch * outputs));
  const double roundoff = roundoffOf(outputType);
  std::vector<int> x(static_cast<size_t>(batch * inputs));
  for (size_t i = 0; i < x.size(); ++i) x[i] = inputAt(static_cast<int64_t>(i));
  std::vector<int> row(static_cast<size_t>(inputs));
  for (int64_t first = 0; first < std::min(kRows, outputs); ++first) {
    for (int64_t i = 0; i < inputs; ++i) row[static_cast<size_t>(i)] = weightAt(first, i, inputs);
    for (int64_t b = 0; b < batch; ++b) {
      const int sum = std::inner_product(row.begin(), row.end(), x.begin() + b * inputs, 0);
      for (int64_t output = first; output < outputs; output += kRows) {
        double truth = static_cast<double>(sum) + biasAt(output);
        if (relu) truth = std::max(truth, 0.0);
        const float value = values[static_cast<size_t>(b * outputs + output)];
        // NaN is not right.
        if (!(std::abs(value - truth) <= std::abs(truth) * roundoff)) return false;
      }
    }
  }
  return true;
}

}  // namespace vgg::cuda
