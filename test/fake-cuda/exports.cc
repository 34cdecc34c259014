// Proves at compile time that each function of the four tables exists with its exact type.
#include "exports.h"

namespace {

#define FAKE_ADDRESS(result, name, parameters) .name = {#name, &::name},
[[maybe_unused]] const vgg::cuda::Api kAll{VGG_CUDA_DRIVER(FAKE_ADDRESS) VGG_CUDNN(FAKE_ADDRESS)
                                               VGG_CUBLASLT(FAKE_ADDRESS) VGG_NVRTC(FAKE_ADDRESS)};
#undef FAKE_ADDRESS

}  // namespace

/** Returns the whole filled table, for tests that link the library. */
extern "C" __attribute__((visibility("default"))) const vgg::cuda::Api* fakeCudaApi() {
  return &kAll;
}
