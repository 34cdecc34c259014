// Descriptors of the fake cuDNN for the tests: the graph of a convolution, its engines, a plan, and
// its tensors.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "fixture.h"

using Desc = cudnnBackendDescriptor_t;
constexpr int kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;

/** A descriptor that lives until destroyAll(). */
Desc make(int type);
void destroyAll();

template <class T>
void set(Desc d, int name, int type, std::vector<T> values) {
  OK(cudnnBackendSetAttribute(d, name, type, static_cast<int64_t>(values.size()), values.data()));
}
inline void set(Desc d, int name, Desc child) { set<Desc>(d, name, kDescriptor, {child}); }

Desc tensor(int64_t id, std::vector<int64_t> dims, int type, bool isVirtual = false);

struct Problem {
  int64_t n, c, h, k;
  int type;
  bool bias = false, relu = false;
  int biasType = type;
};

/** A convolution with padding 1, then the problem's bias and ReLU. Ids: x 1, w 2, bias 3, y 4. */
Desc graphOf(const Problem& p, bool withHandle = true);

/** The engine configurations for the graph, best first. */
std::vector<Desc> configurations(Desc graph, int mode = CUDNN_HEUR_MODE_A, Desc device = nullptr);
int64_t engineOf(Desc config);
/** Makes a plan. @returns cuDNN's status */
int tryPlan(Desc config, Desc* plan);
int64_t workspaceOf(Desc plan);
Desc packOf(std::vector<int64_t> ids, std::vector<CUdeviceptr> pointers, CUdeviceptr workspace);
