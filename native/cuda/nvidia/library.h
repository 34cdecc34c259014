// NVIDIA's libraries: where they were looked for, why each try failed, and the functions of those
// found.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "cuda/nvidia/api.h"

namespace vgg::cuda {

/** One try to load a library; `error` is empty where it succeeded. */
struct Attempt {
  std::string library, path, error;
};

/** A library as it was found. `path` is empty where it was not. */
struct Library {
  std::string name{}, path{}, version{};
  std::string problem{};  // why it cannot be used, and what to do; empty where it can
  Code code = Code::kLibraryMissing;
};

/** What loading came to. The libraries stay loaded for the life of the process. */
struct Libraries {
  Library driver{"CUDA driver"}, cudnn{"cuDNN"}, cublasLt{"cuBLASLt"}, nvrtc{"NVRTC"};
  std::vector<Attempt> attempts;
  Api api;
  int driverVersion = 0;  // 13000: CUDA 13.0
  int cudaMajor = 0;      // of cuDNN, and so of cuBLASLt and NVRTC
  size_t cudnnVersion = 0;

  /** The first library without which no graph can run; null where all are there. NVRTC is no such
   * library: kernels may come from the cache. */
  [[nodiscard]] const Library* missing() const;
};

/**
 * Loads what is not loaded yet. `VGG_CUDA_PATH` (a colon-separated list) comes before the loader's
 * own search and the known folders. Prints nothing, throws nothing, and never ends the process.
 */
std::shared_ptr<const Libraries> loadDriver();

/** The driver and the libraries above it; works without a driver, as planning does. */
std::shared_ptr<const Libraries> loadLibraries();

}  // namespace vgg::cuda
