#include "cuda/known_numbers.h"

#include "core/convert.h"

namespace vgg::cuda {
namespace {

void synchronize(Context& context) {
  context.call(context.api().cuStreamSynchronize, context.compute());
}

}  // namespace

void upload(Context& context, CUdeviceptr to, const std::vector<std::byte>& bytes) {
  context.call(context.api().cuMemcpyHtoDAsync_v2, to, bytes.data(), bytes.size(),
               context.compute());
  synchronize(context);
}

void poison(Context& context, CUdeviceptr at, size_t bytes) {
  context.call(context.api().cuMemsetD8Async, at, 0xff, bytes, context.compute());
}

std::vector<float> download(Context& context, CUdeviceptr from, DType type, size_t count) {
  std::vector<std::byte> bytes(count * byteSize(type));
  context.call(context.api().cuMemcpyDtoHAsync_v2, bytes.data(), from, bytes.size(),
               context.compute());
  synchronize(context);
  std::vector<float> values(count);
  toFloat32(values.data(), bytes.data(), type, count);
  return values;
}

}  // namespace vgg::cuda
