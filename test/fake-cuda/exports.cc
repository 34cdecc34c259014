// The compile-time proof that each function of the four tables exists with its very type.
#include "exports.h"

namespace {

#define FAKE_ADDRESS(result, name, parameters) .name = {#name, &::name},
[[maybe_unused]] const vgg::cuda::Api kAll{VGG_CUDA_DRIVER(FAKE_ADDRESS) VGG_CUDNN(FAKE_ADDRESS)
                                               VGG_CUBLASLT(FAKE_ADDRESS) VGG_NVRTC(FAKE_ADDRESS)};
#undef FAKE_ADDRESS

}  // namespace

/** For tests that link the library: the whole table, filled. */
extern "C" __attribute__((visibility("default"))) const vgg::cuda::Api* fakeCudaApi() {
  return &kAll;
}
