// One product of the fake cuBLASLt: D(rows x columns) = epilogue(W^T . X), column-major, as in a
// linear layer.
#include <vector>

#include "cublaslt/cublaslt.h"
#include "memory.h"

namespace fake {

bool isKnownType(int type) {
  return type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF;
}

namespace {

Type typeOf(int type) {
  return type == CUDA_R_32F ? Type::kFloat : type == CUDA_R_16F ? Type::kHalf : Type::kBfloat16;
}

}  // namespace

uint64_t Product::signature() const {
  uint64_t hash = 14695981039346656037ULL;
  for (const int64_t part :
       {m, n, k, wStride, xStride, yStride, static_cast<int64_t>(type), static_cast<int64_t>(yType),
        static_cast<int64_t>(hasBias ? biasType : Type::kFloat), static_cast<int64_t>(hasBias),
        static_cast<int64_t>(hasRelu), static_cast<int64_t>(tf32)})
    hash = (hash ^ static_cast<uint64_t>(part)) * 1099511628211ULL;
  return hash;
}

int understandProduct(const LtMatmul& d, const LtLayout& a, const LtLayout& b, const LtLayout& c,
                      const LtLayout& y, Product* product) {
  for (const LtLayout* layout : {&a, &b, &c, &y})
    if (layout->leading < layout->rows) return kCublasInvalidValue;
  if (c.type != y.type || c.rows != y.rows || c.columns != y.columns || c.leading != y.leading)
    return kCublasInvalidValue;
  if (d.transA != CUBLAS_OP_T || d.transB != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a.rows != b.rows || a.columns != y.rows || b.columns != y.columns) return kCublasInvalidValue;
  if (a.type != b.type || (y.type != a.type && y.type != CUDA_R_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a.type == CUDA_R_16BF && deviceCapability() < 80) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool tf32 = d.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (tf32 && a.type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool hasBias =
      d.epilogue == CUBLASLT_EPILOGUE_BIAS || d.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  const int biasType = d.biasType < 0 ? y.type : d.biasType;
  if (hasBias && biasType != y.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  *product = {
      .m = y.rows,
      .n = y.columns,
      .k = a.rows,
      .wStride = a.leading,
      .xStride = b.leading,
      .yStride = y.leading,
      .type = typeOf(a.type),
      .yType = typeOf(y.type),
      .biasType = typeOf(biasType),
      .hasBias = hasBias,
      .hasRelu = d.epilogue == CUBLASLT_EPILOGUE_RELU || d.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS,
      .tf32 = tf32 && deviceCapability() >= 80};
  return CUBLAS_STATUS_SUCCESS;
}

size_t spanOf(int64_t columns, int64_t rows, int64_t stride, Type type) {
  return static_cast<size_t>((columns - 1) * stride + rows) * sizeOf(type);
}

void runProduct(const Product& p, const ProductOperands& o, int device) {
  const char* what = "cublasLtMatmul";
  const size_t yBytes = spanOf(p.n, p.m, p.yStride, p.yType);
  requireDeviceRange(device, o.w, spanOf(p.m, p.k, p.wStride, p.type), what);
  requireDeviceRange(device, o.x, spanOf(p.n, p.k, p.xStride, p.type), what);
  requireDeviceRange(device, o.y, yBytes, what);
  requireDeviceRange(device, o.workspace, o.workspaceBytes, "cublasLtMatmul, workspace");
  if (p.hasBias) requireDeviceRange(device, o.bias, p.m * sizeOf(p.biasType), what);
  const auto* yFirst = static_cast<const char*>(o.y);
  for (const void* input : {o.w, o.x})
    if (input >= yFirst && input < yFirst + yBytes)
      misuse("cublasLtMatmul: the output overlaps an input");
  Memo& memo = contextOf(device)->memo;
  Signature product;
  product.add(p.signature()).add(o.w).add(o.x).add(o.bias).add(o.y).add(o.alpha);
  std::vector<Interval> reads{Interval::of(o.w, spanOf(p.m, p.k, p.wStride, p.type)),
                              Interval::of(o.x, spanOf(p.n, p.k, p.xStride, p.type)),
                              Interval::of(o.bias, p.hasBias ? p.m * sizeOf(p.biasType) : 0)};
  if (o.usedWorkspace > 0) spoil(memo, o.workspace, o.usedWorkspace);
  if (memo.redo(product.value())) return;

  const Rounding rounding = p.tf32 ? Rounding::kTf32 : Rounding::kNone;
  std::vector<float> x(p.n * p.k);
  for (int64_t j = 0; j < p.n; ++j)
    widen(static_cast<const char*>(o.x) + j * p.xStride * sizeOf(p.type), p.type, p.k, rounding,
          x.data() + j * p.k);
  std::vector<float> bias(p.m);
  if (p.hasBias) widen(o.bias, p.biasType, p.m, Rounding::kNone, bias.data());
  std::vector<float> y(p.n * p.m);
  multiply({.rows = p.m,
            .columns = p.n,
            .depth = p.k,
            .w = o.w,
            .wStride = p.wStride,
            .type = p.type,
            .rounding = rounding,
            .x = x.data()},
           y.data());
  for (int64_t j = 0; j < p.n; ++j) {
    float* column = y.data() + j * p.m;
    for (int64_t i = 0; i < p.m; ++i) {
      const float value = o.alpha * column[i] + bias[i];
      column[i] = p.hasRelu && value < 0 ? 0 : value;
    }
    narrow(column, p.yType, p.m,
           static_cast<char*>(o.y) + j * p.yStride * static_cast<int64_t>(sizeOf(p.yType)));
  }
  memo.did(product.value(), std::move(reads), {Interval::of(o.y, yBytes)},
           p.yStride == p.m || p.n == 1);
}

}  // namespace fake
