// The sources of our kernels, which NVRTC compiles on the machine where they run.
#pragma once

#include <vector>

namespace vgg::cuda {

/** A file of native/cuda/kernels: its name and its text. */
struct KernelSource {
  const char* name;
  const char* text;
};

/** All of them, headers included, by name. */
const std::vector<KernelSource>& kernelSources();

}  // namespace vgg::cuda
