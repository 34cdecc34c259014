// The fake cuBLASLt: D(rows x columns) = epilogue(W^T . X), column-major, as a linear layer asks.
#include <cstdlib>
#include <cstring>

#include "arithmetic.h"
#include "device.h"
#include "memory.h"
#include "stream.h"

using namespace fake;

namespace {

// Statuses beyond those that the addon names (cublas_api.h).
constexpr int kNotInitialized = 1;
constexpr int kInvalidValue = 7;
constexpr uint64_t kMagic = 0x46414B454C54;  // "FAKELT"
constexpr int64_t kMiB = 1 << 20;

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

bool isKnown(int type) { return type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF; }
Type typeOf(int type) {
  return type == CUDA_R_32F ? Type::kFloat : type == CUDA_R_16F ? Type::kHalf : Type::kBfloat16;
}

/** Everything about one product, by value. */
struct Problem {
  int64_t m, n, k, wStride, xStride, yStride;
  Type type, yType, biasType;
  bool hasBias, hasRelu, tf32;

  uint64_t signature() const {
    uint64_t hash = 14695981039346656037ULL;
    for (const int64_t part :
         {m, n, k, wStride, xStride, yStride, static_cast<int64_t>(type),
          static_cast<int64_t>(yType), static_cast<int64_t>(hasBias ? biasType : Type::kFloat),
          static_cast<int64_t>(hasBias), static_cast<int64_t>(hasRelu), static_cast<int64_t>(tf32)})
      hash = (hash ^ static_cast<uint64_t>(part)) * 1099511628211ULL;
    return hash;
  }
};

int understand(const LtMatmul& d, const LtLayout& a, const LtLayout& b, const LtLayout& c,
               const LtLayout& y, Problem* problem) {
  for (const LtLayout* layout : {&a, &b, &c, &y})
    if (layout->leading < layout->rows) return kInvalidValue;
  if (c.type != y.type || c.rows != y.rows || c.columns != y.columns || c.leading != y.leading)
    return kInvalidValue;
  if (d.transA != CUBLAS_OP_T || d.transB != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a.rows != b.rows || a.columns != y.rows || b.columns != y.columns) return kInvalidValue;
  if (a.type != b.type || (y.type != a.type && y.type != CUDA_R_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a.type == CUDA_R_16BF && deviceCapability() < 80) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool tf32 = d.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (tf32 && a.type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool hasBias =
      d.epilogue == CUBLASLT_EPILOGUE_BIAS || d.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  const int biasType = d.biasType < 0 ? y.type : d.biasType;
  if (hasBias && biasType != y.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  *problem = {
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

struct Operands {
  const void *w, *x, *bias;
  void *y, *workspace;
  size_t workspaceBytes, usedWorkspace;
  float alpha;
};

size_t spanOf(int64_t columns, int64_t rows, int64_t stride, Type type) {
  return static_cast<size_t>((columns - 1) * stride + rows) * sizeOf(type);
}

void run(const Problem& p, const Operands& o, int device) {
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

template <class T>
int destroy(typename T::Handle handle, const char* caller) {
  countFreeingCall();
  return retire<T>(handle, caller) ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
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
    case kNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kInvalidValue:
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
  if (!handle) return kInvalidValue;
  if (!context || context->retained == 0) return kNotInitialized;
  if (context->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (forbidWhileCapturing()) return CUBLAS_STATUS_INTERNAL_ERROR;
  *handle = publish(std::make_shared<LtHandle>(context->device));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  countFreeingCall();
  const auto object = retire<LtHandle>(handle, "cublasLtDestroy");
  if (!object) return kNotInitialized;
  return contextOf(object->device)->lost ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* result, cublasComputeType_t compute,
                                        cudaDataType scale) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result) return kInvalidValue;
  if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) ||
      scale != CUDA_R_32F)
    return kInvalidValue;
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
  if (!d) return kInvalidValue;
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
      good = take(value, bytes, &d->biasType) && isKnown(d->biasType);
      break;
    default:
      misuse("cublasLtMatmulDescSetAttribute: attribute " + std::to_string(attribute) +
             " is unknown to the fake");
      return kInvalidValue;
  }
  return good ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* result, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result || rows == 0 || columns == 0 || rows > INT32_MAX || columns > INT32_MAX ||
      leading < static_cast<int64_t>(rows))
    return kInvalidValue;
  if (!isKnown(type)) return CUBLAS_STATUS_NOT_SUPPORTED;
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
  if (!result) return kInvalidValue;
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
  if (!preference) return kInvalidValue;
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    // Nothing is split here.
    uint32_t mask = 0;
    return take(value, bytes, &mask) ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
  }
  if (attribute != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    misuse("cublasLtMatmulPreferenceSetAttribute: attribute " + std::to_string(attribute) +
           " is unknown to the fake");
    return kInvalidValue;
  }
  return take(value, bytes, &preference->workspaceBytes) ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
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
  if (!object) return kNotInitialized;
  if (!d || !a || !b || !c || !y || !p || !results || !count || requested < 1) return kInvalidValue;
  if (contextOf(object->device)->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  *count = 0;
  Problem problem{};
  if (const int status = understand(*d, *a, *b, *c, *y, &problem)) return status;
  const char* refused = std::getenv("FAKE_CUBLASLT_NO_BIAS");
  if (problem.hasBias && refused && *refused) return CUBLAS_STATUS_NOT_SUPPORTED;
  // The one without workspace is slower and still right.
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
  if (!object) return kNotInitialized;
  if (!desc || !la || !lb || !lc || !ld || !alpha || !beta || !a || !b || !c || !d)
    return kInvalidValue;
  if (contextOf(object->device)->lost) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (const Context* current = currentContext(); !current || current->device != object->device)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  Problem problem{};
  if (const int status = understand(*desc, *la, *lb, *lc, *ld, &problem)) return status;
  float factors[2];
  std::memcpy(&factors[0], alpha, sizeof(float));
  std::memcpy(&factors[1], beta, sizeof(float));
  if (factors[1] != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (c != d) misuse("cublasLtMatmul: C is not read (beta is 0); pass D for it");
  if (problem.hasBias && !desc->bias) return kInvalidValue;
  for (const void* pointer :
       {a, b, static_cast<const void*>(d), problem.hasBias ? desc->bias : nullptr,
        static_cast<const void*>(workspace)})
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
      misuse("cublasLtMatmul: a pointer is not aligned to 16 bytes");
      return kInvalidValue;
    }
  size_t used = 0;
  if (algorithm) {
    if (algorithm->data[0] != kMagic) return kInvalidValue;
    if (algorithm->data[1] != problem.signature()) {
      misuse("cublasLtMatmul: the algorithm was chosen for another product");
      return kInvalidValue;
    }
    used = algorithm->data[2];
  }
  if (used > workspaceBytes || (workspaceBytes > 0 && !workspace)) return kInvalidValue;

  std::shared_ptr<Stream> stream;
  if (findStream(streamHandle, "cublasLtMatmul", &stream) || stream->device != object->device)
    return kInvalidValue;
  const Operands operands{a, b, desc->bias, d, workspace, workspaceBytes, used, factors[0]};
  const double flops = 2.0 * static_cast<double>(problem.m * problem.n * problem.k);
  const double bytes =
      static_cast<double>(spanOf(problem.m, problem.k, problem.wStride, problem.type));
  const int status = stream->push(
      {.run = [problem, operands](Stream& on) { run(problem, operands, on.device); },
       .nanoseconds = (used > 0 ? 4000 : 2000) +
                      std::max(flops / (used > 0 ? 5e5 : 3e5), bytes / (used > 0 ? 3500 : 2500)),
       .counter = &FakeCudaControl::matmuls});
  return status == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
