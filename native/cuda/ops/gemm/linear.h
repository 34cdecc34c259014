// A linear layer as what may run it gets it.
#pragma once

#include <string>

#include "cuda/executable.h"
#include "cuda/ops/gemm/linear_check.h"

namespace vgg::cuda {

struct CudaExecutable::Linear {
  const Gemm& op;
  Buffer input, output;
  const Matrix& matrix;
  const Bias& bias;
  bool isSparse;    // whether the kernel for zeros may run it
  std::string key;  // under which the cache keeps what was chosen

  [[nodiscard]] LinearShape shape() const {
    return {input.batch, matrix.columns, matrix.rows, input.type, output.type, op.relu};
  }
  /** What kernels of ours that are checked for one layer are right for. */
  [[nodiscard]] std::string problem() const {
    return std::to_string(matrix.rows) + " " + std::to_string(matrix.columns) + " " +
           std::to_string(input.batch) + " " + suffixOf(input.type) + " " + suffixOf(output.type) +
           (op.relu ? " relu" : "");
  }
  [[nodiscard]] int outputs() const { return static_cast<int>(matrix.rows); }
  [[nodiscard]] int inputs() const { return static_cast<int>(matrix.columns); }
  /** Elements in a vector of 16 bytes. */
  [[nodiscard]] int64_t vector() const { return 16 / static_cast<int64_t>(byteSize(input.type)); }
};

/** What the cache keeps where the kernel for zeros was chosen. */
inline constexpr const char* kSparseText = "sparse";

}  // namespace vgg::cuda
