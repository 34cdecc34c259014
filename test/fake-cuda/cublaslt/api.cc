// cuBLASLt's exported functions: handles, descriptions, the choice of an algorithm, a product.
#include <cstdlib>
#include <cstring>

#include "cublaslt/cublaslt.h"
#include "memory.h"
#include "stream.h"

using namespace fake;

namespace {

constexpr uint64_t kMagic = 0x46414B454C54;  // "FAKELT"
constexpr int64_t kMiB = 1 << 20;

int fault(int64_t kind, int device = -1) {
  switch (kind) {
    case kFakeCudaOutOfMemory:
      return CUBLAS_STATUS_ALLOC_FAILED;
    case kFakeCudaNotSupported:
      return CUBLAS_STATUS_NOT_SUPPORTED;
    case kFakeCudaInternalError:
      return CUBLAS_STATUS_INTERNAL_ERROR;
    default:
      if (Context* context = device >= 0        ? contextOf(device)
                             : currentContext() ? currentContext()
                                                : contextOf(0))
        context->loseAsAsked(kind);
      return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

template <class T>
int destroy(typename T::Handle handle, const char* caller) {
  countFreeingCall();
  return retire<T>(handle, caller) ? CUBLAS_STATUS_SUCCESS : kCublasInvalidValue;
}

template <class T>
bool take(const void* value, size_t bytes, T* to) {
  if (!value || bytes != sizeof(T)) return false;
  std::memcpy(to, value, sizeof(T));
  return true;
}

}  // namespace

size_t cublasLtGetVersion() { return 130100; }
size_t cublasLtGetCudartVersion() { return 13000; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case kCublasNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kCublasInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "<unknown>";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (const int64_t kind = countCall()) return fault(kind);
  const Context* context = currentContext();
  if (!handle) return kCublasInvalidValue;
  if (!context || context->retained == 0) return kCublasNotInitialized;
  if (context->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (forbidWhileCapturing()) return CUBLAS_STATUS_INTERNAL_ERROR;
  *handle = publish(std::make_shared<LtHandle>(context->device));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  countFreeingCall();
  const auto object = retire<LtHandle>(handle, "cublasLtDestroy");
  if (!object) return kCublasNotInitialized;
  return contextOf(object->device)->lost ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* result, cublasComputeType_t compute,
                                        cudaDataType scale) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result) return kCublasInvalidValue;
  if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) ||
      scale != CUDA_R_32F)
    return kCublasInvalidValue;
  auto description = std::make_shared<LtMatmul>(-1);
  description->compute = compute;
  description->scale = scale;
  *result = publish(description);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  return destroy<LtMatmul>(description, "cublasLtMatmulDescDestroy");
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto d = find<LtMatmul>(handle, "cublasLtMatmulDescSetAttribute");
  if (!d) return kCublasInvalidValue;
  bool good = false;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      good = take(value, bytes, &d->transA) && d->transA >= 0 && d->transA <= 2;
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      good = take(value, bytes, &d->transB) && d->transB >= 0 && d->transB <= 2;
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      good = take(value, bytes, &d->epilogue);
      if (good && d->epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
          d->epilogue != CUBLASLT_EPILOGUE_RELU && d->epilogue != CUBLASLT_EPILOGUE_BIAS &&
          d->epilogue != CUBLASLT_EPILOGUE_RELU_BIAS)
        return CUBLAS_STATUS_NOT_SUPPORTED;
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      good = take(value, bytes, &d->bias);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      good = take(value, bytes, &d->biasType) && isKnownType(d->biasType);
      break;
    default:
      misuse("cublasLtMatmulDescSetAttribute: attribute " + std::to_string(attribute) +
             " is unknown to the fake");
      return kCublasInvalidValue;
  }
  return good ? CUBLAS_STATUS_SUCCESS : kCublasInvalidValue;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* result, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result || rows == 0 || columns == 0 || rows > INT32_MAX || columns > INT32_MAX ||
      leading < static_cast<int64_t>(rows))
    return kCublasInvalidValue;
  if (!isKnownType(type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  auto layout = std::make_shared<LtLayout>(-1);
  layout->type = type;
  layout->rows = static_cast<int64_t>(rows);
  layout->columns = static_cast<int64_t>(columns);
  layout->leading = leading;
  *result = publish(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy<LtLayout>(layout, "cublasLtMatrixLayoutDestroy");
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* result) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result) return kCublasInvalidValue;
  *result = publish(std::make_shared<LtPreference>(-1));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy<LtPreference>(preference, "cublasLtMatmulPreferenceDestroy");
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto preference = find<LtPreference>(handle, "cublasLtMatmulPreferenceSetAttribute");
  if (!preference) return kCublasInvalidValue;
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    // The fake splits nothing.
    uint32_t mask = 0;
    return take(value, bytes, &mask) ? CUBLAS_STATUS_SUCCESS : kCublasInvalidValue;
  }
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    misuse("cublasLtMatmulPreferenceSetAttribute: attribute " + std::to_string(attribute) +
           " is unknown to the fake");
    return kCublasInvalidValue;
  }
  return take(value, bytes, &preference->workspaceBytes) ? CUBLAS_STATUS_SUCCESS
                                                         : kCublasInvalidValue;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t aLayout,
    cublasLtMatrixLayout_t bLayout, cublasLtMatrixLayout_t cLayout, cublasLtMatrixLayout_t dLayout,
    cublasLtMatmulPreference_t preference, int requested, cublasLtMatmulHeuristicResult_t* results,
    int* count) {
  const char* what = "cublasLtMatmulAlgoGetHeuristic";
  const auto object = find<LtHandle>(handle, what);
  if (const int64_t kind = countCall()) return fault(kind, object ? object->device : -1);
  const auto d = find<LtMatmul>(description, what);
  const auto a = find<LtLayout>(aLayout, what);
  const auto b = find<LtLayout>(bLayout, what);
  const auto c = find<LtLayout>(cLayout, what);
  const auto y = find<LtLayout>(dLayout, what);
  const auto p = find<LtPreference>(preference, what);
  if (!object) return kCublasNotInitialized;
  if (!d || !a || !b || !c || !y || !p || !results || !count || requested < 1)
    return kCublasInvalidValue;
  if (contextOf(object->device)->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  *count = 0;
  Product problem{};
  if (const int status = understandProduct(*d, *a, *b, *c, *y, &problem)) return status;
  const char* refused = std::getenv("FAKE_CUBLASLT_NO_BIAS");
  if (problem.hasBias && refused && *refused) return CUBLAS_STATUS_NOT_SUPPORTED;
  // The algorithm without workspace is slower and still correct.
  for (const int64_t workspace : {kMiB, int64_t{0}, 4 * kMiB}) {
    if (*count == requested) break;
    if (static_cast<uint64_t>(workspace) > p->workspaceBytes) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    result.algo.data[0] = kMagic;
    result.algo.data[1] = problem.signature();
    result.algo.data[2] = static_cast<uint64_t>(workspace);
    result.workspaceSize = static_cast<size_t>(workspace);
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t aLayout,
                              const void* b, cublasLtMatrixLayout_t bLayout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t cLayout, void* d,
                              cublasLtMatrixLayout_t dLayout, const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, size_t workspaceBytes, cudaStream_t streamHandle) {
  const auto object = find<LtHandle>(handle, "cublasLtMatmul");
  if (const int64_t kind = countCall()) return fault(kind, object ? object->device : -1);
  const auto desc = find<LtMatmul>(description, "cublasLtMatmul");
  const auto la = find<LtLayout>(aLayout, "cublasLtMatmul");
  const auto lb = find<LtLayout>(bLayout, "cublasLtMatmul");
  const auto lc = find<LtLayout>(cLayout, "cublasLtMatmul");
  const auto ld = find<LtLayout>(dLayout, "cublasLtMatmul");
  if (!object) return kCublasNotInitialized;
  if (!desc || !la || !lb || !lc || !ld || !alpha || !beta || !a || !b || !c || !d)
    return kCublasInvalidValue;
  if (contextOf(object->device)->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (const Context* current = currentContext(); !current || current->device != object->device)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  Product problem{};
  if (const int status = understandProduct(*desc, *la, *lb, *lc, *ld, &problem)) return status;
  float factors[2];
  std::memcpy(&factors[0], alpha, sizeof(float));
  std::memcpy(&factors[1], beta, sizeof(float));
  if (factors[1] != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (c != d) misuse("cublasLtMatmul: C is not read (beta is 0); pass D for it");
  if (problem.hasBias && !desc->bias) return kCublasInvalidValue;
  for (const void* pointer :
       {a, b, static_cast<const void*>(d), problem.hasBias ? desc->bias : nullptr,
        static_cast<const void*>(workspace)})
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
      misuse("cublasLtMatmul: a pointer is not aligned to 16 bytes");
      return kCublasInvalidValue;
    }
  size_t used = 0;
  if (algorithm) {
    if (algorithm->data[0] != kMagic) return kCublasInvalidValue;
    if (algorithm->data[1] != problem.signature()) {
      misuse("cublasLtMatmul: the algorithm was chosen for another product");
      return kCublasInvalidValue;
    }
    used = algorithm->data[2];
  }
  if (used > workspaceBytes || (workspaceBytes > 0 && !workspace)) return kCublasInvalidValue;

  std::shared_ptr<Stream> stream;
  if (findStream(streamHandle, "cublasLtMatmul", &stream) || stream->device != object->device)
    return kCublasInvalidValue;
  const ProductOperands operands{a, b, desc->bias, d, workspace, workspaceBytes, used, factors[0]};
  const double flops = 2.0 * static_cast<double>(problem.m * problem.n * problem.k);
  const double bytes =
      static_cast<double>(spanOf(problem.m, problem.k, problem.wStride, problem.type));
  const int status = stream->push(
      {.run = [problem, operands](Stream& on) { runProduct(problem, operands, on.device); },
       .nanoseconds = (used > 0 ? 4000 : 2000) +
                      std::max(flops / (used > 0 ? 5e5 : 3e5), bytes / (used > 0 ? 3500 : 2500)),
       .counter = &FakeCudaControl::matmuls});
  return status == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
