#include "convolutions.h"

namespace {

std::vector<Desc> made;

}  // namespace

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

Desc tensor(int64_t id, std::vector<int64_t> dims, int type, bool isVirtual) {
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

Desc graphOf(const Problem& p, bool withHandle) {
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

std::vector<Desc> configurations(Desc graph, int mode, Desc device) {
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
