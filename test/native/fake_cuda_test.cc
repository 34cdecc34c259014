// The fake CUDA libraries against plain loops, and what they must refuse.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "arithmetic.h"
#include "control.h"
#include "expect.h"
#include "exports.h"

namespace {

#define EXPECT_STATUS(call, wanted)                                                        \
  do {                                                                                     \
    if (const int status = (call); status != (wanted)) {                                   \
      char why[200] = "";                                                                  \
      cudnnGetLastErrorString(why, sizeof why);                                            \
      std::printf("not ok %s:%d: %s is %d: %s\n", __FILE__, __LINE__, #call, status, why); \
      ++failures;                                                                          \
    }                                                                                      \
  } while (false)
#define OK(call) EXPECT_STATUS(call, 0)

using Desc = cudnnBackendDescriptor_t;
constexpr int kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;

FakeCudaControl& control() { return *fakeCudaControl(); }
CUcontext context = nullptr;
CUstream stream = nullptr;
cudnnHandle_t cudnn = nullptr;

uint32_t seed = 1;
float random() {
  seed = seed * 1664525U + 1013904223U;
  return static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5F;
}
std::vector<float> randoms(size_t count) {
  std::vector<float> all(count);
  for (float& each : all) each = random();
  return all;
}

fake::Type typeOf(int type) {
  return type == CUDNN_DATA_FLOAT  ? fake::Type::kFloat
         : type == CUDNN_DATA_HALF ? fake::Type::kHalf
                                   : fake::Type::kBfloat16;
}

/** Device memory with the values in the type, copied from pageable memory. */
struct Buffer {
  CUdeviceptr pointer = 0;
  size_t count;
  fake::Type type;
  explicit Buffer(size_t count, int dataType = CUDNN_DATA_FLOAT)
      : count(count), type(typeOf(dataType)) {
    OK(cuMemAlloc_v2(&pointer, count * sizeOf(type)));
  }
  Buffer(std::vector<float>& values, int dataType) : Buffer(values.size(), dataType) {
    std::vector<char> bytes(count * sizeOf(type));
    fake::narrow(values.data(), type, count, bytes.data());
    fake::widen(bytes.data(), type, count, fake::Rounding::kNone, values.data());
    OK(cuMemcpyHtoDAsync_v2(pointer, bytes.data(), bytes.size(), stream));
  }
  ~Buffer() { cuMemFree_v2(pointer); }
  Buffer(const Buffer&) = delete;
  [[nodiscard]] std::vector<float> read() const {
    std::vector<char> bytes(count * sizeOf(type));
    OK(cuMemcpyDtoHAsync_v2(bytes.data(), pointer, bytes.size(), stream));
    std::vector<float> values(count);
    fake::widen(bytes.data(), type, count, fake::Rounding::kNone, values.data());
    return values;
  }
};

std::vector<Desc> made;
Desc make(int type) {
  Desc d = nullptr;
  OK(cudnnBackendCreateDescriptor(type, &d));
  made.push_back(d);
  return d;
}
void destroyAll() {
  for (Desc d : made) OK(cudnnBackendDestroyDescriptor(d));
  made.clear();
}
template <class T>
void set(Desc d, int name, int type, std::vector<T> values) {
  OK(cudnnBackendSetAttribute(d, name, type, static_cast<int64_t>(values.size()), values.data()));
}
void set(Desc d, int name, Desc child) { set<Desc>(d, name, kDescriptor, {child}); }

Desc tensor(int64_t id, std::vector<int64_t> dims, int type, bool isVirtual = false) {
  Desc d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set<int>(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type});
  set<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims);
  set<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64,
               {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]});
  set<int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {id});
  set<int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {16});
  if (isVirtual)
    OK(cudnnBackendSetAttribute(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1,
                                &isVirtual));
  OK(cudnnBackendFinalize(d));
  return d;
}

struct Problem {
  int64_t n, c, h, k;
  int type;
  bool bias = false, relu = false;
  int biasType = type;
};

/** conv3x3 with padding 1, then what is asked for; ids: x 1, w 2, bias 3, y 4. */
Desc graphOf(const Problem& p, bool withHandle = true) {
  const int type = p.type;
  int64_t next = 10;
  Desc x = tensor(1, {p.n, p.c, p.h, p.h}, type);
  Desc w = tensor(2, {p.k, p.c, 3, 3}, type);
  Desc y = tensor(4, {p.n, p.k, p.h, p.h}, type);
  const auto middle = [&] { return tensor(next++, {p.n, p.k, p.h, p.h}, CUDNN_DATA_FLOAT, true); };
  Desc c = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  set<int>(c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
  set<int>(c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {1});
  set<int64_t>(c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, {2});
  for (const int name : {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
                         CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS})
    set<int64_t>(c, name, CUDNN_TYPE_INT64, {1, 1});
  OK(cudnnBackendFinalize(c));
  std::vector<Desc> operations;
  Desc value = p.bias ? middle() : y;
  Desc o = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  set(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, c);
  set(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
  set(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
  set(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, value);
  set<float>(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, {1});
  set<float>(o, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, {0});
  OK(cudnnBackendFinalize(o));
  operations.push_back(o);
  const auto pointwise = [&](int mode, Desc b, bool last) {
    Desc q = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set<int>(q, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode});
    set<int>(q, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
    OK(cudnnBackendFinalize(q));
    Desc next = last ? y : middle();
    Desc operation = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, q);
    set(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, value);
    if (b) set(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, next);
    OK(cudnnBackendFinalize(operation));
    operations.push_back(operation);
    value = next;
  };
  if (p.bias) pointwise(CUDNN_POINTWISE_ADD, tensor(3, {1, p.k, 1, 1}, p.biasType), !p.relu);
  if (p.relu) pointwise(CUDNN_POINTWISE_RELU_FWD, nullptr, true);
  Desc g = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (withHandle)
    set<cudnnHandle_t>(g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, {cudnn});
  set<Desc>(g, CUDNN_ATTR_OPERATIONGRAPH_OPS, kDescriptor, operations);
  OK(cudnnBackendFinalize(g));
  return g;
}

std::vector<Desc> configurations(Desc graph, int mode = CUDNN_HEUR_MODE_A, Desc device = nullptr) {
  Desc h = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set(h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  set<int>(h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, {mode});
  if (device) set(h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  if (cudnnBackendFinalize(h) != 0) return {};
  int64_t count = 0;
  OK(cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, kDescriptor, 0, &count, nullptr));
  std::vector<Desc> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
  OK(cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, kDescriptor, count, &count,
                              all.data()));
  return all;
}
int64_t engineOf(Desc config) {
  Desc e = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  int64_t count = 0;
  int64_t id = -1;
  OK(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, kDescriptor, 1, &count, &e));
  OK(cudnnBackendGetAttribute(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &id));
  return id;
}
int tryPlan(Desc config, Desc* plan) {
  *plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  set<cudnnHandle_t>(*plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, {cudnn});
  set(*plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  return cudnnBackendFinalize(*plan);
}
int64_t workspaceOf(Desc plan) {
  int64_t bytes = -1;
  int64_t count = 0;
  OK(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                              &count, &bytes));
  return bytes;
}
Desc packOf(std::vector<int64_t> ids, std::vector<CUdeviceptr> pointers, CUdeviceptr workspace) {
  Desc v = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(v, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::move(ids));
  set(v, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::move(pointers));
  set<CUdeviceptr>(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, {workspace});
  OK(cudnnBackendFinalize(v));
  return v;
}

std::vector<float> expected(const Problem& p, const std::vector<float>& x,
                            const std::vector<float>& w, const std::vector<float>& bias) {
  std::vector<float> y(p.n * p.h * p.h * p.k);
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t i = 0; i < p.h; ++i)
      for (int64_t j = 0; j < p.h; ++j)
        for (int64_t k = 0; k < p.k; ++k) {
          double sum = p.bias ? bias[k] : 0;
          for (int64_t r = 0; r < 3; ++r)
            for (int64_t s = 0; s < 3; ++s) {
              const int64_t row = i + r - 1;
              const int64_t column = j + s - 1;
              if (row < 0 || row >= p.h || column < 0 || column >= p.h) continue;
              for (int64_t c = 0; c < p.c; ++c)
                sum += x[((n * p.h + row) * p.h + column) * p.c + c] *
                       w[((k * 3 + r) * 3 + s) * p.c + c];
            }
          y[((n * p.h + i) * p.h + j) * p.k + k] = static_cast<float>(p.relu && sum < 0 ? 0 : sum);
        }
  return y;
}

float farthest(const std::vector<float>& a, const std::vector<float>& b) {
  float worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size(); ++i) worst = std::fmax(worst, std::fabs(a[i] - b[i]));
  return worst;
}

void convolutionsAgreeWithPlainLoops() {
  for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16})
    for (int form = 0; form < 4; ++form)
      for (const int64_t c : {3, 16}) {
        const int biasType = form == 3 ? int{CUDNN_DATA_FLOAT} : type;
        const Problem p{2, c, 9, 40, type, form > 0, form == 2, biasType};
        auto x = randoms(p.n * p.h * p.h * c);
        auto w = randoms(p.k * 9 * c);
        auto b = randoms(p.k);
        const Buffer dx(x, type);
        const Buffer dw(w, type);
        const Buffer db(b, p.biasType);
        const auto wanted = expected(p, x, w, b);
        const auto configs = configurations(graphOf(p));
        EXPECT(configs.empty() == (p.biasType != type && c == 3));
        for (Desc config : configs) {
          const int64_t engine = engineOf(config);
          Desc plan = nullptr;
          const int status = tryPlan(config, &plan);
          EXPECT(status == (engine == 13 || engine == 21 ? 3002 : 0));
          if (status || engine == 14) continue;
          const int64_t bytes = workspaceOf(plan);
          const Buffer workspace(static_cast<size_t>(bytes / 4 + 1));
          const Buffer dy(wanted.size(), type);
          std::vector<int64_t> ids{4, 2, 1};
          std::vector<CUdeviceptr> pointers{dy.pointer, dw.pointer, dx.pointer};
          if (p.bias) {
            ids.push_back(3);
            pointers.push_back(db.pointer);
          }
          Desc pack = packOf(ids, pointers, bytes > 0 ? workspace.pointer : 0);
          const int ran = cudnnBackendExecute(cudnn, plan, pack);
          EXPECT(ran == (engine == 23 ? CUDNN_STATUS_EXECUTION_FAILED : 0));
          if (ran) continue;
          const float error = farthest(dy.read(), wanted);
          const bool rough = type != CUDNN_DATA_FLOAT || engine == 10 || engine == 11;
          const float bound = type == CUDNN_DATA_BFLOAT16 ? 0.03F : rough ? 0.006F : 1e-5F;
          const bool isWrong = engine == 17 || engine == 25;
          if ((error < bound) == isWrong)
            std::printf("type %d form %d c %d engine %d: %g\n", type, form, static_cast<int>(c),
                        static_cast<int>(engine), error);
          EXPECT((error < bound) != isWrong);
          if (type == CUDNN_DATA_FLOAT && rough) EXPECT(error > 1e-5F);
        }
        destroyAll();
      }
}

void plansSurviveAsText() {
  const Problem p{1, 16, 6, 16, CUDNN_DATA_HALF, true, true};
  Desc graph = graphOf(p);
  Desc plan = nullptr;
  for (Desc config : configurations(graph))
    if (engineOf(config) == 22) OK(tryPlan(config, &plan));
  int64_t length = 0;
  constexpr int kJson = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
  OK(cudnnBackendGetAttribute(plan, kJson, CUDNN_TYPE_CHAR, 0, &length, nullptr));
  std::string text(static_cast<size_t>(length), 0);
  OK(cudnnBackendGetAttribute(plan, kJson, CUDNN_TYPE_CHAR, length, &length, text.data()));
  const auto load = [&](const std::string& json) {
    Desc d = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set<cudnnHandle_t>(d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, {cudnn});
    set(d, kJson, CUDNN_TYPE_CHAR, std::vector<char>(json.begin(), json.end()));
    const int status = cudnnBackendFinalize(d);
    if (status == 0) EXPECT(workspaceOf(d) == 1 << 20);
    return status;
  };
  const auto with = [&](const char* from, const char* to) {
    std::string changed = text;
    changed.replace(changed.find(from), std::strlen(from), to);
    return changed;
  };
  OK(load(text));
  EXPECT(load(with("91900", "91901")) == 1003);
  EXPECT(load(with("\"deviceVer\": 900", "\"deviceVer\": 800")) == 3007);
  EXPECT(load(text.substr(0, text.size() / 2)) == 2000);
  EXPECT(load("{}") == 2000);
  destroyAll();
}

void plansAreMadeWithoutADevice() {
  const std::string json =
      "{\"deviceVer\": 800, \"multiProcessorCount\": 108, \"driverVer\": 13000, "
      "\"maxSharedMemoryPerBlockOptin\": 166912, \"totalGlobalMem\": 42505273344}";
  Desc device = make(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  set(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
      std::vector<char>(json.begin(), json.end()));
  OK(cudnnBackendFinalize(device));
  const Problem p{1, 16, 6, 16, CUDNN_DATA_FLOAT};
  Desc graph = graphOf(p, false);
  EXPECT(configurations(graph).empty());
  const auto configs = configurations(graph, CUDNN_HEUR_MODE_A, device);
  EXPECT(configs.size() == 8);
  Desc plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  set(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
  set(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configs[5]);
  OK(cudnnBackendFinalize(plan));
  const Buffer one(16);
  Desc pack = packOf({1, 2, 4}, {one.pointer, one.pointer, one.pointer}, 0);
  EXPECT(cudnnBackendExecute(cudnn, plan, pack) == 3007);
  destroyAll();
}

void descriptorsAreChecked() {
  Desc t = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const int64_t numbers[4] = {1, 1, 1, 1};
  const int32_t small = 1;
  EXPECT_STATUS(cudnnBackendFinalize(t), 2000);
  EXPECT_STATUS(
      cudnnBackendSetAttribute(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_DATA_TYPE, 1, &small),
      2010);
  EXPECT_STATUS(
      cudnnBackendSetAttribute(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, numbers),
      2000);
  EXPECT_STATUS(cudnnBackendSetAttribute(t, 4711, CUDNN_TYPE_INT64, 1, numbers), 3000);
  EXPECT_STATUS(
      cudnnBackendSetAttribute(t, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &small),
      2000);
  int64_t count = 0;
  int64_t value = 0;
  EXPECT_STATUS(
      cudnnBackendGetAttribute(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &count, &value),
      2004);
  Desc done = tensor(7, {1, 8, 4, 4}, CUDNN_DATA_HALF);
  EXPECT_STATUS(
      cudnnBackendSetAttribute(done, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, numbers),
      2000);
  OK(cudnnBackendGetAttribute(done, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &count,
                              &value));
  EXPECT(count == 1 && value == 7);
  EXPECT(configurations(graphOf({1, 12, 4, 16, CUDNN_DATA_HALF})).empty());
  EXPECT(!configurations(graphOf({1, 12, 4, 16, CUDNN_DATA_FLOAT})).empty());
  EXPECT(
      configurations(graphOf({1, 16, 4, 16, CUDNN_DATA_HALF}), CUDNN_HEUR_MODE_FALLBACK).size() ==
      1);
  destroyAll();
}

void matricesAgreeWithPlainLoops() {
  cublasLtHandle_t lt = nullptr;
  OK(cublasLtCreate(&lt));
  for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16})
    for (const int64_t batch : {1, 7}) {
      const int64_t in = 72;
      const int64_t out = 24;
      auto w = randoms(out * in);
      auto x = randoms(batch * in);
      auto b = randoms(out);
      const Buffer dw(w, type);
      const Buffer dx(x, type);
      const Buffer db(b, CUDNN_DATA_FLOAT);
      const Buffer dy(batch * out);
      const int data = type == CUDNN_DATA_FLOAT  ? CUDA_R_32F
                       : type == CUDNN_DATA_HALF ? CUDA_R_16F
                                                 : CUDA_R_16BF;
      cublasLtMatmulDesc_t d = nullptr;
      cublasLtMatrixLayout_t lw = nullptr;
      cublasLtMatrixLayout_t lx = nullptr;
      cublasLtMatrixLayout_t ly = nullptr;
      cublasLtMatmulPreference_t preference = nullptr;
      OK(cublasLtMatmulDescCreate(&d, CUBLAS_COMPUTE_32F, CUDA_R_32F));
      const int transpose = CUBLAS_OP_T;
      const int epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, 4));
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &db.pointer, 8));
      OK(cublasLtMatrixLayoutCreate(&lw, data, in, out, in));
      OK(cublasLtMatrixLayoutCreate(&lx, data, in, batch, in));
      OK(cublasLtMatrixLayoutCreate(&ly, CUDA_R_32F, out, batch, out));
      OK(cublasLtMatmulPreferenceCreate(&preference));
      const uint64_t limit = 2 << 20;
      OK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                              &limit, 8));
      cublasLtMatmulHeuristicResult_t results[8];
      int count = 0;
      OK(cublasLtMatmulAlgoGetHeuristic(lt, d, lw, lx, ly, ly, preference, 8, results, &count));
      EXPECT(count == 2);
      const Buffer workspace(1 << 18);
      const float one = 1;
      const float zero = 0;
      for (int i = 0; i < count; ++i) {
        OK(cublasLtMatmul(
            lt, d, &one, reinterpret_cast<void*>(dw.pointer), lw,
            reinterpret_cast<void*>(dx.pointer), lx, &zero, reinterpret_cast<void*>(dy.pointer), ly,
            reinterpret_cast<void*>(dy.pointer), ly, &results[i].algo,
            reinterpret_cast<void*>(workspace.pointer), results[i].workspaceSize, stream));
        std::vector<float> wanted(batch * out);
        for (int64_t n = 0; n < batch; ++n)
          for (int64_t o = 0; o < out; ++o) {
            double sum = b[o];
            for (int64_t k = 0; k < in; ++k) sum += w[o * in + k] * x[n * in + k];
            wanted[n * out + o] = static_cast<float>(sum < 0 ? 0 : sum);
          }
        EXPECT(farthest(dy.read(), wanted) < 1e-5F);
      }
      cublasLtMatmulDescDestroy(d);
      for (auto layout : {lw, lx, ly}) cublasLtMatrixLayoutDestroy(layout);
      cublasLtMatmulPreferenceDestroy(preference);
    }
  cublasLtDestroy(lt);
}

void streamsAndGraphsKeepTheirOrder() {
  CUstream other = nullptr;
  CUevent event = nullptr;
  CUevent end = nullptr;
  OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  OK(cuEventCreate(&event, CU_EVENT_DEFAULT));
  OK(cuEventCreate(&end, CU_EVENT_DEFAULT));
  void* pinned = nullptr;
  OK(cuMemHostAlloc(&pinned, 64, CU_MEMHOSTALLOC_PORTABLE));
  auto* bytes = static_cast<unsigned char*>(pinned);
  const Buffer memory(16);
  control().delayMicroseconds = 20000;
  OK(cuMemsetD8Async(memory.pointer, 5, 64, other));
  OK(cuEventRecord(event, other));
  OK(cuStreamWaitEvent(stream, event, 0));
  OK(cuMemcpyDtoHAsync_v2(pinned, memory.pointer, 64, stream));
  EXPECT(bytes[0] == 0xFF);
  OK(cuStreamSynchronize(stream));
  EXPECT(bytes[0] == 5);
  control().delayMicroseconds = 0;

  // Two streams, one graph.
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuMemsetD8Async(memory.pointer, 9, 64, stream));
  OK(cuEventRecord(event, stream));
  OK(cuStreamWaitEvent(other, event, 0));
  OK(cuMemcpyDtoHAsync_v2(pinned, memory.pointer, 64, other));
  OK(cuEventRecord(end, other));
  OK(cuStreamWaitEvent(stream, end, 0));
  OK(cuStreamEndCapture(stream, &graph));
  OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  EXPECT(bytes[0] == 5);
  OK(cuEventRecord(event, stream));
  control().delayMicroseconds = 20000;
  OK(cuGraphLaunch(exec, stream));
  OK(cuEventRecord(end, stream));
  EXPECT_STATUS(cuEventQuery(end), CUDA_ERROR_NOT_READY);
  OK(cuEventSynchronize(end));
  OK(cuEventQuery(end));
  control().delayMicroseconds = 0;
  EXPECT(bytes[0] == 9);
  float milliseconds = 0;
  OK(cuEventElapsedTime(&milliseconds, event, end));
  EXPECT(milliseconds > 0);

  // What a capturing thread may not do ends the capture; another thread may do it.
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  std::thread([] {
    OK(cuCtxSetCurrent(context));
    const Buffer allowed(4);
  }).join();
  CUdeviceptr pointer = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_STATUS(cuMemsetD8Async(memory.pointer, 1, 64, stream),
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  CUgraph none = nullptr;
  EXPECT_STATUS(cuStreamEndCapture(stream, &none), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuEventRecord(event, stream));
  OK(cuStreamWaitEvent(other, event, 0));
  EXPECT_STATUS(cuStreamEndCapture(stream, &none), 904);

  OK(cuGraphExecDestroy(exec));
  OK(cuGraphDestroy(graph));
  OK(cuEventDestroy_v2(event));
  OK(cuEventDestroy_v2(end));
  OK(cuMemFreeHost(pinned));
  OK(cuStreamDestroy_v2(other));
  EXPECT(control().misuseCount == 0);
  EXPECT_STATUS(cuStreamSynchronize(other), CUDA_ERROR_INVALID_HANDLE);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
}

void callsFailWhereAsked() {
  CUdeviceptr pointer = 0;
  const auto failNext = [](int64_t kind) {
    control().failKind = kind;
    control().failAt = control().calls + 1;
  };
  failNext(kFakeCudaOutOfMemory);
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_OUT_OF_MEMORY);
  failNext(kFakeCudaNotSupported);
  Desc d = nullptr;
  EXPECT_STATUS(cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &d), 3000);
  failNext(kFakeCudaInternalError);
  nvrtcProgram program = nullptr;
  EXPECT_STATUS(nvrtcCreateProgram(&program, "", "", 0, nullptr, nullptr), 11);
  EXPECT(control().failed == 3);
  OK(nvrtcCreateProgram(&program, "int x;", "x.cu", 0, nullptr, nullptr));
  const char* option = "--gpu-architecture=sm_90";
  EXPECT_STATUS(nvrtcCompileProgram(program, 1, &option), NVRTC_ERROR_COMPILATION);
  OK(nvrtcDestroyProgram(&program));
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, size_t{1} << 40), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_STATUS(cuMemFree_v2(4096), CUDA_ERROR_INVALID_VALUE);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
}

void wrongAddressLosesTheDevice() {
  const Problem p{1, 16, 6, 16, CUDNN_DATA_FLOAT};
  Desc plan = nullptr;
  OK(tryPlan(configurations(graphOf(p))[5], &plan));
  const Buffer memory(16);
  CUdeviceptr gone = 0;
  OK(cuMemAlloc_v2(&gone, 1 << 20));
  OK(cuMemFree_v2(gone));
  Desc pack = packOf({1, 2, 4}, {gone, gone, gone}, 0);
  OK(cudnnBackendExecute(cudnn, plan, pack));
  EXPECT_STATUS(cuStreamSynchronize(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_STATUS(cudnnBackendExecute(cudnn, plan, pack), CUDNN_STATUS_EXECUTION_FAILED);
  EXPECT(control().devicesLost == 1 && control().lost[0] != 0);
  EXPECT(control().streams == 0 && control().deviceAllocations == 0);
  EXPECT_STATUS(cudnnDestroy(cudnn), CUDNN_STATUS_EXECUTION_FAILED);
  EXPECT_STATUS(cuStreamDestroy_v2(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  destroyAll();
  EXPECT(control().cudnnDescriptors == 0 && control().cudnnHandles == 0);
  EXPECT(control().misuseCount == 0);
}

std::string readFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void ownKernelsAreCompiledAndRun() {
  std::vector<std::string> names;
  std::vector<std::string> texts;
  for (const auto& entry : std::filesystem::directory_iterator(FAKE_CUDA_KERNELS)) {
    if (entry.path().extension() != ".h") continue;
    names.push_back(entry.path().filename());
    texts.push_back(readFile(entry.path()));
  }
  std::vector<const char*> namePointers;
  std::vector<const char*> textPointers;
  for (size_t i = 0; i < names.size(); ++i) {
    namePointers.push_back(names[i].c_str());
    textPointers.push_back(texts[i].c_str());
  }
  const std::string source = readFile(FAKE_CUDA_KERNELS "/pointwise.cu");
  const auto compile = [&](const std::string& text, const char* architecture, int headers,
                           std::string* image) {
    nvrtcProgram program = nullptr;
    OK(nvrtcCreateProgram(&program, text.c_str(), "pointwise.cu", headers, textPointers.data(),
                          namePointers.data()));
    const char* options[] = {architecture, "--std=c++17", "-default-device"};
    const int result = nvrtcCompileProgram(program, 3, options);
    size_t bytes = 0;
    if (result == 0) {
      OK(nvrtcGetCUBINSize(program, &bytes));
      image->resize(bytes);
      OK(nvrtcGetCUBIN(program, image->data()));
    } else {
      OK(nvrtcGetProgramLogSize(program, &bytes));
      EXPECT(bytes > 1);
    }
    OK(nvrtcDestroyProgram(&program));
    return result;
  };
  const int count = static_cast<int>(names.size());
  std::string image;
  EXPECT(compile(source + " ", "--gpu-architecture=sm_90", count, &image) == 6);
  EXPECT(compile(source, "--gpu-architecture=sm_90", 0, &image) == 6);
  EXPECT(compile(source, "--gpu-architecture=sm_70", count, &image) == 5);
  CUmodule module = nullptr;
  OK(compile(source, "--gpu-architecture=sm_80", count, &image));
  EXPECT_STATUS(cuModuleLoadData(&module, image.c_str()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_STATUS(cuModuleLoadData(&module, "something else"), 200);
  OK(compile(source, "--gpu-architecture=sm_90", count, &image));
  OK(cuModuleLoadData(&module, image.c_str()));
  CUfunction function = nullptr;
  EXPECT_STATUS(cuModuleGetFunction(&function, module, "nothing"), CUDA_ERROR_NOT_FOUND);
  OK(cuModuleGetFunction(&function, module, "affine_f32"));

  auto values = randoms(1024);
  const Buffer x(values, CUDNN_DATA_FLOAT);
  const Buffer y(1024);
  CUdeviceptr from = x.pointer;
  CUdeviceptr none = 0;
  CUdeviceptr to = y.pointer;
  long long vectors = 256;
  int channels = 4;
  int relu = 1;
  void* parameters[] = {&from, &none, &none, &to, &vectors, &channels, &relu};
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 256;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuLaunchKernelEx(&config, function, parameters, nullptr));
  OK(cuStreamEndCapture(stream, &graph));
  from = to = 0;  // the values were copied
  OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  OK(cuGraphLaunch(exec, stream));
  for (float& value : values) value = value > 0 ? value : 0;
  EXPECT(farthest(y.read(), values) == 0);
  for (unsigned CUlaunchConfig::* field : {&CUlaunchConfig::gridDimX, &CUlaunchConfig::blockDimY}) {
    CUlaunchConfig wrong = config;
    wrong.*field = field == &CUlaunchConfig::gridDimX ? 0 : 8;
    EXPECT_STATUS(cuLaunchKernelEx(&wrong, function, parameters, nullptr),
                  CUDA_ERROR_INVALID_VALUE);
  }
  config.sharedMemBytes = 50 << 10;
  EXPECT_STATUS(cuLaunchKernelEx(&config, function, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  OK(cuGraphExecDestroy(exec));
  OK(cuGraphDestroy(graph));
  OK(cuModuleUnload(module));
  EXPECT(control().modules == 0 && control().nvrtcPrograms == 0);
}

void takesAReasonableTime() {
  for (const int64_t size : {64, 224}) {
    const auto begin = std::chrono::steady_clock::now();
    int64_t side = size;
    int64_t c = 3;
    for (const int64_t k : {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0}) {
      if (k == 0) {
        side /= 2;
        continue;
      }
      auto x = std::vector<float>(side * side * c, 1);
      auto w = std::vector<float>(k * 9 * c, 1);
      std::vector<float> y(side * side * k);
      fake::convolve({1, c, side, side, k, {{3, 3}, {1, 1}, {1, 1}, {1, 1}}}, x.data(), w.data(),
                     y.data());
      c = k;
    }
    for (const auto& [in, out] :
         std::vector<std::pair<int64_t, int64_t>>{{25088, 4096}, {4096, 4096}, {4096, 1000}}) {
      std::vector<uint16_t> w(in * out, 0x3C00);
      std::vector<float> x(in, 1);
      std::vector<float> y(out);
      fake::multiply({out, 1, in, w.data(), in, fake::Type::kHalf, fake::Rounding::kNone, x.data()},
                     y.data());
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("VGG11 at %d pixels: %.2f s\n", static_cast<int>(size), took.count());
  }
}

}  // namespace

int main() {
  CUdeviceptr pointer = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_NOT_INITIALIZED);
  OK(cuInit(0));
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_INVALID_CONTEXT);
  OK(cuDevicePrimaryCtxRetain(&context, 0));
  EXPECT_STATUS(cuCtxPopCurrent_v2(nullptr), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
  OK(cuCtxPushCurrent_v2(context));
  OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  OK(cudnnCreate(&cudnn));
  OK(cudnnSetStream(cudnn, stream));
  convolutionsAgreeWithPlainLoops();
  plansSurviveAsText();
  plansAreMadeWithoutADevice();
  descriptorsAreChecked();
  matricesAgreeWithPlainLoops();
  streamsAndGraphsKeepTheirOrder();
  ownKernelsAreCompiledAndRun();
  EXPECT(control().misuseCount == 0);
  callsFailWhereAsked();
  EXPECT(control().deviceAllocations == 0 && control().cudnnDescriptors == 0 &&
         control().cublasLtObjects == 0 && control().graphs == 0 && control().events == 0);
  if (!std::getenv("FAKE_CUDA_TEST_SHORT")) takesAReasonableTime();
  wrongAddressLosesTheDevice();
  if (control().misuse[0]) std::printf("first misuse: %s\n", control().misuse);
  std::printf(failures ? "%d failed\n" : "ok\n", failures);
  return failures ? 1 : 0;
}
