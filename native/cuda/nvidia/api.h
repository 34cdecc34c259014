// Holds every function of NVIDIA's that is called. Each library has a file of its types, values and
// functions, one line for each function. No header of NVIDIA's is needed to build: test/real-cuda
// compiles these files with VGG_NVIDIA_HEADERS, which makes the types NVIDIA's own, and compares
// every line.
#pragma once

#include <string_view>
#include <type_traits>

#include "cuda/nvidia/cublaslt_api.h"
#include "cuda/nvidia/cudnn_api.h"
#include "cuda/nvidia/driver_api.h"
#include "cuda/nvidia/nvrtc_api.h"

namespace vgg::cuda {

/** The library that a function belongs to. */
enum class Owner : unsigned char { kDriver, kCudnn, kCublasLt, kNvrtc };

template <Owner kOwner, typename Type>
struct Function;

/** A function of one of NVIDIA's libraries, with its name for the error of a call that fails. */
template <Owner kOwner, typename Result, typename... Parameters>
struct Function<kOwner, Result(Parameters...)> {
  using Pointer = Result (*)(Parameters...);

  const char* symbol;
  Pointer pointer = nullptr;  // set once the library is loaded (library.h)

  /** Calls the function and checks nothing. Session::call checks. */
  Result operator()(Parameters... parameters) const { return pointer(parameters...); }
  explicit operator bool() const { return pointer != nullptr; }

  /** The name in NVIDIA's documents, which cuda.h maps to the symbol. */
  [[nodiscard]] std::string_view name() const {
    std::string_view name = symbol;
    for (const std::string_view suffix : {"_v2", "WithFlags"}) {
      if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    }
    return name;
  }
};

template <typename Type>
using DriverFunction = Function<Owner::kDriver, Type>;
template <typename Type>
using CudnnFunction = Function<Owner::kCudnn, Type>;
template <typename Type>
using CublasLtFunction = Function<Owner::kCublasLt, Type>;
template <typename Type>
using NvrtcFunction = Function<Owner::kNvrtc, Type>;

/** Every function, as one member each. */
struct Api {
// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
#define VGG_MEMBER(result, name, parameters) DriverFunction<result parameters> name{#name};
  VGG_CUDA_DRIVER(VGG_MEMBER)
#undef VGG_MEMBER
#define VGG_MEMBER(result, name, parameters) CudnnFunction<result parameters> name{#name};
  VGG_CUDNN(VGG_MEMBER)
#undef VGG_MEMBER
#define VGG_MEMBER(result, name, parameters) CublasLtFunction<result parameters> name{#name};
  VGG_CUBLASLT(VGG_MEMBER)
#undef VGG_MEMBER
#define VGG_MEMBER(result, name, parameters) NvrtcFunction<result parameters> name{#name};
  VGG_NVRTC(VGG_MEMBER)
#undef VGG_MEMBER
  // NOLINTEND(bugprone-macro-parentheses)
};

}  // namespace vgg::cuda
