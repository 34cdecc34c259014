// Makes plans and kernels ahead of time for a named GPU that this machine may lack, and says what
// cuDNN offers for each convolution of a program.
#pragma once

#include <string>
#include <vector>

#include "core/op.h"
#include "core/precision.h"
#include "cuda/disk_cache.h"
#include "cuda/nvidia/convolution.h"

namespace vgg::cuda {

/** A GPU in cuDNN's own description. `name` and `capability` (90 for 9.0) repeat what it says. */
struct NamedGpu {
  std::string description;  // JSON
  std::string name;
  int capability;
};

/** What cuDNN offers for one convolution in one form. */
struct PlannedConvolution {
  std::string weight;   // the parameter's name
  std::string problem;  // its shape and precision, as planKey writes them
  int64_t batch;
  Form form;
  size_t offered = 0;         // engines from cuDNN's heuristics and its fallback
  size_t allowed = 0;         // offered engines that compute what the precision promises
  size_t tooLarge = 0;        // allowed engines with more workspace than kWorkspaceLimit
  size_t plans = 0;           // allowed engines that became execution plans
  size_t compiled = 0;        // plans that are compiled at run time
  size_t workspaceBytes = 0;  // the first plan's
  int64_t engine = -1;        // the first plan's
  bool isFirstLayer = false;  // our kernel computes it on the GPU, without cuDNN
  std::string refusal;        // why there is no plan
};

struct PlanOptions {
  Precision precision;
  int64_t batch;
  size_t limit;  // plans for each convolution and form
};

/**
 * Makes plans for each convolution and form, and keeps the first of the likeliest form in the
 * cache. The loaded cuDNN must be 9.10.1 or newer. Throws Error kLibraryMissing, kUnsupported.
 */
std::vector<PlannedConvolution> planConvolutions(const NamedGpu& gpu, const Program& program,
                                                 const std::vector<ParameterSpec>& specs,
                                                 const PlanOptions& options,
                                                 const DiskCache& cache);

struct CompiledFile {
  std::string file;
  size_t bytes;
  std::string log;  // registers and spills
};

/** Compiles every kernel for the GPU into the cache. Throws Error kLibraryMissing, kInternal. */
std::vector<CompiledFile> compileKernels(int capability, const DiskCache& cache);

}  // namespace vgg::cuda
