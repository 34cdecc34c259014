// Compiles our kernels with NVRTC for a GPU's architecture, keeps them on disk, loads them on
// demand and launches them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cuda/disk_cache.h"
#include "cuda/nvidia/context.h"

namespace vgg::cuda {

struct CompiledKernels {
  std::string image;  // a cubin, or PTX for a GPU newer than NVRTC
  std::string log;
};

/**
 * Compiles one of kernelSources() for a compute capability (90: 9.0). `verbose` asks for registers
 * and spills in the log. Throws Error kLibraryMissing without NVRTC, kInternal with its log.
 */
CompiledKernels compileKernels(const Libraries& libraries, const std::string& file, int capability,
                               bool verbose = false);

/** Returns a hash of the file and of all headers. Measurements of its kernels hold for this text
 * only. */
std::string kernelsText(const std::string& file);

/** Returns the key of the image in a cache. */
std::string kernelsKey(const Libraries& libraries, const std::string& file, int capability);

/** The blocks of a launch. `cluster` neighbours in x share their memory. `sharedBytes` is each
 * block's shared memory in addition to what its kernel declares. */
struct Grid {
  size_t x = 1, y = 1, z = 1;
  unsigned cluster = 1;
  unsigned sharedBytes = 0;
};

/** The kernels of one GPU. */
class Kernels {
 public:
  Kernels(Context& context, const DiskCache& cache) : context_(context), cache_(cache) {}
  ~Kernels();
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  /** Returns a kernel of a file that is named without its ending: "pool", "maxPool2d_f16". */
  CUfunction function(const std::string& file, const std::string& name);

  /** Returns whether a kernel computes right numbers on this GPU. Calls check() once per process
   * for each `what`. Returns nothing if there is too little memory to check. A kernel that fails is
   * not right. Throws Error kDeviceLost. */
  std::optional<bool> isRight(const std::string& what, const std::function<bool()>& check);

  /** The arguments must have exactly the types of the kernel's parameters. */
  template <typename... Arguments>
  void launch(CUstream stream, CUfunction function, Grid grid, unsigned block,
              Arguments... arguments) {
    void* parameters[] = {&arguments...};
    enqueue(stream, function, grid, block, static_cast<void**>(parameters));
  }

 private:
  CUmodule load(const std::string& file);
  void enqueue(CUstream stream, CUfunction function, Grid grid, unsigned block, void** parameters);

  Context& context_;
  const DiskCache& cache_;
  std::map<std::string, CUmodule> modules_;
  std::map<std::string, CUfunction> functions_;
  std::map<std::string, bool> verdicts_;
};

}  // namespace vgg::cuda
