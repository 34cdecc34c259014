// Compiles every file of native/cuda/kernels as C++ and lists its kernels.
#include "emulator/emulated_kernels.h"

#include <vector>

#include "cuda/kernels/first_layer_filter.h"
#include "cuda/kernels/vector.h"
#include "cuda/kernels/warpgroup.h"

// Each file has its own namespace, because on a GPU each is a separate program.
namespace layoutFile {
#include "cuda/kernels/layout.cu"
}
namespace pointwiseFile {
#include "cuda/kernels/pointwise.cu"
}
namespace poolFile {
#include "cuda/kernels/pool.cu"
}
namespace gemvFile {
#include "cuda/kernels/gemv.cu"
}
namespace sparseGemvFile {
#include "cuda/kernels/sparse_gemv.cu"
}
namespace softmaxFile {
#include "cuda/kernels/softmax.cu"
}
namespace topKFile {
#include "cuda/kernels/top_k.cu"
}
namespace firstLayerFile {
#include "cuda/kernels/first_layer.cu"
}
namespace convolutionFile {
#include "cuda/kernels/convolution.cu"
}
namespace packFile {
#include "cuda/kernels/pack.cu"
}

namespace emulate {
namespace {

#define LIST(space, file, name, barriers) \
  all.push_back(makeKernel<&space::name>(file, #name, barriers, geometry::kThreads));
#define LIST_TYPES(space, file, name, barriers) \
  LIST(space, file, name##_f32, barriers)       \
  LIST(space, file, name##_f16, barriers)       \
  LIST(space, file, name##_bf16, barriers)
#define LIST_GEMV(columns)                                   \
  LIST(gemvFile, "gemv.cu", gemv##columns##_f32_f32, true)   \
  LIST(gemvFile, "gemv.cu", gemv##columns##_f16_f16, true)   \
  LIST(gemvFile, "gemv.cu", gemv##columns##_f16_f32, true)   \
  LIST(gemvFile, "gemv.cu", gemv##columns##_bf16_bf16, true) \
  LIST(gemvFile, "gemv.cu", gemv##columns##_bf16_f32, true)
#define LIST_SPARSE_GEMV(types) LIST(sparseGemvFile, "sparse_gemv.cu", sparseGemv_##types, true)
#define LIST_FIRST_LAYER(name)                                           \
  LIST(firstLayerFile, "first_layer.cu", firstLayer_##name##_f16, true)  \
  LIST(firstLayerFile, "first_layer.cu", firstLayer_##name##_bf16, true) \
  LIST(firstLayerFile, "first_layer.cu", firstLayer_##name##_tf32, true)
#define LIST_CONVOLUTION(parts)                                                 \
  LIST(convolutionFile, "convolution.cu", convolution_pool##parts##_f16, true)  \
  LIST(convolutionFile, "convolution.cu", convolution_flat##parts##_f16, true)  \
  LIST(convolutionFile, "convolution.cu", convolution_pool##parts##_bf16, true) \
  LIST(convolutionFile, "convolution.cu", convolution_flat##parts##_bf16, true)

std::vector<Kernel> listKernels() {
  std::vector<Kernel> all;
  LIST_TYPES(layoutFile, "layout.cu", toChannelsLast, true)
  LIST_TYPES(layoutFile, "layout.cu", toChannelsFirst, true)
  LIST_TYPES(layoutFile, "layout.cu", normalizeBytes, false)
  LIST_TYPES(pointwiseFile, "pointwise.cu", affine, false)
  LIST_TYPES(poolFile, "pool.cu", maxPool2d, false)
  LIST_TYPES(poolFile, "pool.cu", adaptiveAvgPool2d, false)
  LIST_GEMV(1)
  LIST_GEMV(2)
  LIST_GEMV(4)
  LIST_GEMV(8)
  LIST_SPARSE_GEMV(f32_f32)
  LIST_SPARSE_GEMV(f16_f16)
  LIST_SPARSE_GEMV(f16_f32)
  LIST_SPARSE_GEMV(bf16_bf16)
  LIST_SPARSE_GEMV(bf16_f32)
  LIST_TYPES(softmaxFile, "softmax.cu", softmax, true)
  LIST_TYPES(topKFile, "top_k.cu", topK, true)
  LIST_FIRST_LAYER(bytes_pool)
  LIST_FIRST_LAYER(bytes_flat)
  LIST_FIRST_LAYER(floats_pool)
  LIST_FIRST_LAYER(floats_flat)
  LIST_CONVOLUTION(1)
  LIST_CONVOLUTION(2)
  LIST_CONVOLUTION(4)
  LIST_CONVOLUTION(8)
  LIST_TYPES(packFile, "pack.cu", writeMatrix, false)
  LIST_TYPES(packFile, "pack.cu", readMatrix, false)
  LIST_TYPES(packFile, "pack.cu", transposeMatrix, true)
  LIST_TYPES(packFile, "pack.cu", packFilter, false)
  LIST_TYPES(packFile, "pack.cu", packBias, false)
  LIST(packFile, "pack.cu", packFirstFilter_f16, false)
  LIST(packFile, "pack.cu", packFirstFilter_bf16, false)
  LIST(packFile, "pack.cu", packFirstFilter_tf32, false)
  LIST(packFile, "pack.cu", foldBatchNorm, false)
  return all;
}

}  // namespace

const Kernel* findKernel(std::string_view file, std::string_view name) {
  // Never destroyed: stream threads may outlive static destructors.
  static const auto* const all = new std::vector<Kernel>(listKernels());
  for (const Kernel& kernel : *all) {
    if (kernel.file == file && kernel.name == name) return &kernel;
  }
  return nullptr;
}

}  // namespace emulate
