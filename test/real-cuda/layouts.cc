// Prints what the machine code of a call depends on: layouts of structures and classes of
// parameters. It must print the same with the types of native/cuda/nvidia/api.h and with NVIDIA's.
#include <cstdio>
#include <type_traits>

#include "cuda/nvidia/api.h"

namespace {

template <typename T>
void printClass() {
  if constexpr (std::is_pointer_v<T>) {
    using Target = std::remove_pointer_t<T>;
    std::printf(std::is_const_v<Target> ? "const*" : "*");
    // Only NVIDIA knows what an opaque pointer points to.
    if constexpr (std::is_pointer_v<Target> || std::is_arithmetic_v<Target> ||
                  std::is_enum_v<Target>)
      printClass<std::remove_const_t<Target>>();
  } else if constexpr (std::is_floating_point_v<T>) {
    std::printf("f%zu", sizeof(T));
  } else if constexpr (std::is_enum_v<T>) {
    std::printf("i%zu", sizeof(T));  // Its values are small and passed alike, signed or not.
  } else if constexpr (std::is_integral_v<T>) {
    std::printf("%s%zu", std::is_signed_v<T> ? "i" : "u", sizeof(T));
  } else {
    std::printf("void");
  }
}

template <typename Result, typename... Parameters>
void printFunction(const char* library, const char* name, Result (*)(Parameters...)) {
  std::printf("%s %s ", library, name);
  printClass<Result>();
  ((std::printf(" "), printClass<Parameters>()), ...);
  std::printf("\n");
}

template <typename T>
void printLayout(const char* name) {
  std::printf("struct %s size %zu align %zu", name, sizeof(T), alignof(T));
}

}  // namespace

int main() {
#define VGG_STRUCT(type) printLayout<type>(#type);
#define VGG_MEMBER(type, member) \
  std::printf(" " #member " %zu+%zu", offsetof(type, member), sizeof(type::member));
#define VGG_END std::printf("\n");
  VGG_STRUCT(CUuuid)
  VGG_MEMBER(CUuuid, bytes)
  VGG_END
  VGG_STRUCT(CUlaunchAttributeValue)
  VGG_MEMBER(CUlaunchAttributeValue, programmaticStreamSerializationAllowed)
  VGG_MEMBER(CUlaunchAttributeValue, clusterDim)
  VGG_END
  VGG_STRUCT(CUlaunchAttribute)
  VGG_MEMBER(CUlaunchAttribute, id)
  VGG_MEMBER(CUlaunchAttribute, value)
  VGG_END
  VGG_STRUCT(CUlaunchConfig)
  VGG_MEMBER(CUlaunchConfig, gridDimX)
  VGG_MEMBER(CUlaunchConfig, gridDimY)
  VGG_MEMBER(CUlaunchConfig, gridDimZ)
  VGG_MEMBER(CUlaunchConfig, blockDimX)
  VGG_MEMBER(CUlaunchConfig, blockDimY)
  VGG_MEMBER(CUlaunchConfig, blockDimZ)
  VGG_MEMBER(CUlaunchConfig, sharedMemBytes)
  VGG_MEMBER(CUlaunchConfig, hStream)
  VGG_MEMBER(CUlaunchConfig, attrs)
  VGG_MEMBER(CUlaunchConfig, numAttrs)
  VGG_END
  VGG_STRUCT(cublasLtMatmulAlgo_t)
  VGG_MEMBER(cublasLtMatmulAlgo_t, data)
  VGG_END
  VGG_STRUCT(cublasLtMatmulHeuristicResult_t)
  VGG_MEMBER(cublasLtMatmulHeuristicResult_t, algo)
  VGG_MEMBER(cublasLtMatmulHeuristicResult_t, workspaceSize)
  VGG_MEMBER(cublasLtMatmulHeuristicResult_t, state)
  VGG_MEMBER(cublasLtMatmulHeuristicResult_t, wavesCount)
  VGG_MEMBER(cublasLtMatmulHeuristicResult_t, reserved)
  VGG_END
  // Elements of attributes. cuDNN reads and writes them in the size of its enum.
#define VGG_ELEMENT(type)            \
  std::printf("element " #type " "); \
  printClass<type>();                \
  VGG_END
  VGG_ELEMENT(cudnnDataType_t)
  VGG_ELEMENT(cudnnConvolutionMode_t)
  VGG_ELEMENT(cudnnPointwiseMode_t)
  VGG_ELEMENT(cudnnNanPropagation_t)
  VGG_ELEMENT(cudnnBackendHeurMode_t)
  VGG_ELEMENT(cudnnBackendNumericalNote_t)
  VGG_ELEMENT(cudnnBackendBehaviorNote_t)
  VGG_ELEMENT(cudnnBackendKnobType_t)
  VGG_ELEMENT(cublasLtEpilogue_t)
  VGG_ELEMENT(cublasOperation_t)
  VGG_ELEMENT(cudaDataType)

  // Values that are not in a table.
  std::printf("value CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR %d\n",
              static_cast<int>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR));
  std::printf("value CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION %d\n",
              static_cast<int>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION));

  const vgg::cuda::Api api;
#define VGG_DRIVER(result, name, parameters) printFunction("driver", #name, api.name.pointer);
  VGG_CUDA_DRIVER(VGG_DRIVER)
#define VGG_DNN(result, name, parameters) printFunction("cudnn", #name, api.name.pointer);
  VGG_CUDNN(VGG_DNN)
#define VGG_BLAS(result, name, parameters) printFunction("cublasLt", #name, api.name.pointer);
  VGG_CUBLASLT(VGG_BLAS)
#define VGG_RTC(result, name, parameters) printFunction("nvrtc", #name, api.name.pointer);
  VGG_NVRTC(VGG_RTC)
}
