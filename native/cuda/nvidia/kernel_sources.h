// Holds the sources of our kernels, which NVRTC compiles on the machine that runs them.
#pragma once

#include <vector>

namespace vgg::cuda {

/** A file of native/cuda/kernels: its name and its text. */
struct KernelSource {
  const char* name;
  const char* text;
};

/** Returns all files, headers included, sorted by name. */
const std::vector<KernelSource>& kernelSources();

}  // namespace vgg::cuda
