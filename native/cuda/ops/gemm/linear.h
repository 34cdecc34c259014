// A linear layer as the kernels and products that may run it need it.
#pragma once

#include <functional>
#include <string>

#include "cuda/ops/gemm/linear_check.h"
#include "cuda/parameters.h"

namespace vgg::cuda {

/** Enqueues one of our kernels for a linear layer. */
using LinearKernel = std::function<void(const LinearBuffers&)>;

struct Linear {
  const Gemm& op;
  Buffer input, output;
  const Matrix& matrix;
  const Bias& bias;
  bool isSparse;    // whether the kernel that skips zeros may run it
  std::string key;  // the choice's key in the cache

  [[nodiscard]] int64_t batch() const { return input.batch; }
  [[nodiscard]] LinearShape shape() const {
    return {batch(), matrix.columns, matrix.rows, input.type, output.type, op.relu};
  }
  /** Describes what our kernels are checked for. */
  [[nodiscard]] std::string problem() const {
    return std::to_string(matrix.rows) + " " + std::to_string(matrix.columns) + " " +
           std::to_string(batch()) + " " + suffixOf(input.type) + " " + suffixOf(output.type) +
           (op.relu ? " relu" : "");
  }
  [[nodiscard]] int outputs() const { return static_cast<int>(matrix.rows); }
  [[nodiscard]] int inputs() const { return static_cast<int>(matrix.columns); }
  /** Elements in a vector of 16 bytes. */
  [[nodiscard]] int64_t vector() const { return 16 / static_cast<int64_t>(byteSize(input.type)); }
};

}  // namespace vgg::cuda
