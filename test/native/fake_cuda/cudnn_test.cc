// Compares the fake cuDNN with plain loops. Also tests its plans as text and for other devices, and
// what it must refuse.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "convolutions.h"
#include "tests.h"

namespace {

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

}  // namespace

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
