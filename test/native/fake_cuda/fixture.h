// Helpers for the tests of the fake CUDA libraries: a context with its stream and cuDNN handle,
// random numbers, and device memory.
#pragma once

#include <cstdint>
#include <cstdio>
#include <vector>

#include "../expect.h"
#include "arithmetic.h"
#include "control.h"
#include "exports.h"

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

inline FakeCudaControl& control() { return *fakeCudaControl(); }
// main makes them.
extern CUcontext context;
extern CUstream stream;
extern cudnnHandle_t cudnn;

/** Random numbers from -0.5 to 0.5. */
std::vector<float> randoms(size_t count);

/** Device memory with values of a type, copied from pageable memory. */
struct Buffer {
  CUdeviceptr pointer = 0;
  size_t count;
  fake::Type type;
  explicit Buffer(size_t count, int dataType = CUDNN_DATA_FLOAT);
  Buffer(std::vector<float>& values, int dataType);
  ~Buffer() { cuMemFree_v2(pointer); }
  Buffer(const Buffer&) = delete;
  [[nodiscard]] std::vector<float> read() const;
};

/** The largest difference of two values at the same position. */
float farthest(const std::vector<float>& a, const std::vector<float>& b);
