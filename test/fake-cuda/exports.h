// Declares every function of native/cuda/nvidia/api.h with C linkage. A definition of another type
// does not compile, and a missing one does not link (exports.cc).
#pragma once

#include "cuda/nvidia/api.h"

#define FAKE_DECLARE(result, name, parameters) \
  extern "C" __attribute__((visibility("default"))) result name parameters;
VGG_CUDA_DRIVER(FAKE_DECLARE)
VGG_CUDNN(FAKE_DECLARE)
VGG_CUBLASLT(FAKE_DECLARE)
VGG_NVRTC(FAKE_DECLARE)
#undef FAKE_DECLARE
