// The fake cuBLASLt's own types: handles, descriptions, and the matrix product that they describe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arithmetic.h"
#include "device.h"
#include "ledger.h"

namespace fake {

// Statuses beyond those that the addon names (cublas_api.h).
inline constexpr int kCublasNotInitialized = 1;
inline constexpr int kCublasInvalidValue = 7;

struct LtHandle : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kCublasLtHandle;
  using Handle = cublasLtHandle_t;
};

struct LtMatmul : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kCublasLtMatmul;
  using Handle = cublasLtMatmulDesc_t;
  int compute = 0, scale = 0, transA = CUBLAS_OP_N, transB = CUBLAS_OP_N;
  int epilogue = CUBLASLT_EPILOGUE_DEFAULT, biasType = -1;
  const void* bias = nullptr;
};

struct LtLayout : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kCublasLtLayout;
  using Handle = cublasLtMatrixLayout_t;
  int type = 0;
  int64_t rows = 0, columns = 0, leading = 0;
};

struct LtPreference : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kCublasLtPreference;
  using Handle = cublasLtMatmulPreference_t;
  uint64_t workspaceBytes = 0;
};

/** Describes one product completely, by value. */
struct Product {
  int64_t m, n, k, wStride, xStride, yStride;
  Type type, yType, biasType;
  bool hasBias, hasRelu, tf32;

  uint64_t signature() const;
};

/** Whether this is float32, float16 or bfloat16. */
bool isKnownType(int type);
/** Fills `product` from the descriptions. A cuBLAS status. */
int understandProduct(const LtMatmul& d, const LtLayout& a, const LtLayout& b, const LtLayout& c,
                      const LtLayout& y, Product* product);

struct ProductOperands {
  const void *w, *x, *bias;
  void *y, *workspace;
  size_t workspaceBytes, usedWorkspace;
  float alpha;
};

/** Bytes from the first element to the last one. */
size_t spanOf(int64_t columns, int64_t rows, int64_t stride, Type type);
/** Runs the convolution. Throws if a range is wrong. */
void runProduct(const Product& p, const ProductOperands& o, int device);

}  // namespace fake
