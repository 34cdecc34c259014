#include "cuda/nvidia/matmul.h"

namespace vgg::cuda {
namespace {

cudaDataType dataType(Type type) {
  return type == Type::kFloat16 ? CUDA_R_16F : type == Type::kBfloat16 ? CUDA_R_16BF : CUDA_R_32F;
}

}  // namespace

template <typename T>
void Matmul::set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
  context_.call(context_.api().cublasLtMatmulDescSetAttribute, description_.get(), attribute,
                &value, sizeof value);
}

MatrixLayout Matmul::layout(Type type, int64_t rows, int64_t columns) const {
  cublasLtMatrixLayout_t layout = nullptr;
  context_.call(context_.api().cublasLtMatrixLayoutCreate, &layout, dataType(type),
                static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows);
  return {context_, layout};
}

// cuBLASLt stores matrices by columns, so that our row-major y (batch, outputs) is its (outputs,
// batch). The product is weightᵀ-as-stored times x-as-stored. The bias therefore runs along the
// product's rows, as the epilogue needs.
Matmul::Matmul(Context& context, const MatmulShape& shape, const std::optional<Epilogue>& epilogue)
    : context_(context) {
  cublasLtMatmulDesc_t description = nullptr;
  context.call(context.api().cublasLtMatmulDescCreate, &description,
               shape.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F);
  description_ = {context, description};
  set(CUBLASLT_MATMUL_DESC_TRANSA, cublasOperation_t{CUBLAS_OP_T});
  set(CUBLASLT_MATMUL_DESC_TRANSB, cublasOperation_t{CUBLAS_OP_N});
  if (epilogue) {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE,
        cublasLtEpilogue_t{epilogue->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS});
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, epilogue->bias);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, dataType(shape.outputType));
  }
  weight_ = layout(shape.type, shape.inputs, shape.outputs);
  x_ = layout(shape.type, shape.inputs, shape.batch);
  y_ = layout(shape.outputType, shape.outputs, shape.batch);
}

std::vector<cublasLtMatmulHeuristicResult_t> Matmul::algorithms(size_t workspaceLimit,
                                                                int limit) const {
  const Api& api = context_.api();
  cublasLtMatmulPreference_t made = nullptr;
  context_.call(api.cublasLtMatmulPreferenceCreate, &made);
  const MatmulPreference preference(context_, made);
  const uint64_t bytes = workspaceLimit;
  // If a sum is split, the partial sums are added in float32, not in the type of the output.
  const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  context_.call(api.cublasLtMatmulPreferenceSetAttribute, made,
                CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
  context_.call(api.cublasLtMatmulPreferenceSetAttribute, made,
                CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(limit));
  int count = 0;
  const cublasStatus_t status = api.cublasLtMatmulAlgoGetHeuristic(
      context_.cublasLt(), description_.get(), weight_.get(), x_.get(), y_.get(), y_.get(), made,
      limit, results.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  context_.check(api.cublasLtMatmulAlgoGetHeuristic, status);
  results.resize(static_cast<size_t>(count));
  std::erase_if(results, [](const auto& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
  return results;
}

void Matmul::run(const cublasLtMatmulAlgo_t& algorithm, CUdeviceptr weight, CUdeviceptr x,
                 CUdeviceptr y, CUdeviceptr workspace, size_t workspaceBytes) const {
  const float one = 1;
  const float zero = 0;
  const auto pointer = [](CUdeviceptr address) { return reinterpret_cast<void*>(address); };
  context_.call(context_.api().cublasLtMatmul, context_.cublasLt(), description_.get(), &one,
                pointer(weight), weight_.get(), pointer(x), x_.get(), &zero, pointer(y), y_.get(),
                pointer(y), y_.get(), &algorithm, pointer(workspace), workspaceBytes,
                context_.compute());
}

}  // namespace vgg::cuda
