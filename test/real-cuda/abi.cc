// Asserts that each value and each function's type in the tables of native/cuda/nvidia/api.h is
// that of NVIDIA's headers. It is compiled with VGG_NVIDIA_HEADERS and __CUDA_API_VERSION_INTERNAL:
// cuda.h then declares the symbols of libcuda.so.1 under their own names instead of mapping a name
// to its newest version.
#include <type_traits>

#include "cuda/nvidia/api.h"

#define VGG_VALUE(name, value) static_assert(static_cast<long long>(name) == (value), #name);
VGG_CUDA_DRIVER_VALUES(VGG_VALUE)
VGG_CUDNN_VALUES(VGG_VALUE)
VGG_CUBLASLT_VALUES(VGG_VALUE)
VGG_NVRTC_VALUES(VGG_VALUE)
#undef VGG_VALUE

#define VGG_FUNCTION(result, name, parameters) \
  static_assert(std::is_same_v<decltype(vgg::cuda::Api::name)::Pointer, decltype(&::name)>, #name);
VGG_CUDA_DRIVER(VGG_FUNCTION)
VGG_CUDNN(VGG_FUNCTION)
VGG_CUBLASLT(VGG_FUNCTION)
VGG_NVRTC(VGG_FUNCTION)
#undef VGG_FUNCTION
