// Our own kernel for convolutions: it adds the bias, applies ReLU and pools in one launch.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {

DirectConvolution Lowering::prepareDirect(const Conv2d& op) {
  const ForcedForm form = shared_.forced.form;
  // A deterministic device chooses nothing by time.
  const bool isWanted =
      form == ForcedForm::kDirect || (form == ForcedForm::kNone && !shared_.deterministic);
  // Only compute capability 9.0 has the kernel's instructions.
  if (!isWanted || context_.gpu().capability() != 90) return nullptr;
  const Shape& shape = parameters_.specs()[op.weight].shape;
  const MaxPool2d* maxPool = choices_.pooledBy[op.output];
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(maxPool == nullptr ? op.output : maxPool->output);
  const int64_t parts = input.padded / geometry::kConvolutionChannels;
  const bool isShape = byteSize(input.type) == 2 && shape[2] == 3 && shape[3] == 3 &&
                       op.stride == 1 && op.padding == 1 &&
                       output.padded % geometry::kConvolutionFilters == 0 &&
                       input.padded % geometry::kConvolutionChannels == 0 &&
                       (parts == 1 || parts == 2 || parts == 4 || parts == 8);
  const bool isPool =
      maxPool == nullptr || (maxPool->size == 2 && maxPool->stride == 2 && maxPool->padding == 0 &&
                             input.height % 2 == 0 && input.width % 2 == 0);
  if (!isShape || !isPool) return nullptr;

  const CUfunction function =
      shared_.kernel("convolution",
                     std::string(maxPool == nullptr ? "convolution_flat" : "convolution_pool") +
                         std::to_string(parts),
                     output.type);
  context_.call(context_.api().cuFuncSetAttribute, function,
                CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, geometry::kConvolutionSharedBytes);
  const Grid grid{static_cast<size_t>(geometry::convolutionTilesAcross(input.width) * parts),
                  static_cast<size_t>(output.padded / geometry::kConvolutionFilters),
                  static_cast<size_t>(geometry::convolutionTilesDown(input.height) * input.batch),
                  static_cast<unsigned>(parts), geometry::kConvolutionSharedBytes};
  return [launch = launch_, function, grid, height = static_cast<int>(input.height),
          width = static_cast<int>(input.width), filters = static_cast<int>(output.padded),
          relu = static_cast<int>(op.relu)](const ConvolutionBuffers& buffers) {
    launch(function, grid, buffers.input, buffers.filter, buffers.bias, buffers.output, height,
           width, filters, relu);
  };
}

}  // namespace vgg::cuda
