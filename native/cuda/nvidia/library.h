// Loads NVIDIA's libraries. Records where each one was looked for, why each try failed, and the
// functions of the libraries that were found.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "cuda/nvidia/api.h"

namespace vgg::cuda {

/** One try to load a library. `error` is empty if it succeeded. */
struct Attempt {
  std::string library, path, error;
};

/** A library as it was found. `path` is empty if it was not found. */
struct Library {
  std::string name{}, path{}, version{};
  std::string problem{};  // why it cannot be used, and what to do; empty if it can be used
  Code code = Code::kLibraryMissing;
};

/** A folder with libraries of one CUDA major that fit together, as `vgg cuda install` makes it. */
struct LibrarySet {
  int cudaMajor;
  std::string folder;
};

/** The result of loading. The libraries stay loaded for the life of the process. */
struct Libraries {
  Library driver{"CUDA driver"}, cudnn{"cuDNN"}, cublasLt{"cuBLASLt"}, nvrtc{"NVRTC"};
  std::vector<Attempt> attempts;
  Api api;
  int driverVersion = 0;  // 13000: CUDA 13.0
  int cudaMajor = 0;      // cuDNN's, and therefore cuBLASLt's and NVRTC's
  size_t cudnnVersion = 0;

  /** Returns the first missing library without which no graph can run, or null. NVRTC is not one of
   * them, because kernels may come from the cache. */
  [[nodiscard]] const Library* missing() const;
};

/**
 * Loads the driver if it is not loaded yet. `VGG_CUDA_PATH` (a list with colons, on Windows with
 * semicolons) is searched before the loader's own search and the known folders. Prints nothing,
 * throws nothing, and never ends the process.
 */
std::shared_ptr<const Libraries> loadDriver();

/** Names the sets that later calls look for libraries in, in this order: after `VGG_CUDA_PATH` and
 * the libraries that the process has already, before the loader's own search. A set whose CUDA the
 * driver or cuDNN does not have is skipped. */
void searchSets(std::vector<LibrarySet> sets);

/** Loads the driver and the libraries above it. Works without a driver, because planning needs no
 * driver. */
std::shared_ptr<const Libraries> loadLibraries();

}  // namespace vgg::cuda
