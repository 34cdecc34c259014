// The linear layer: at small batches a stream over the weights, read once; above, blocked so that
// they stay in cache.
#include <algorithm>

#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kDepthBlock = 512;  // depth · panelWidth floats of a panel: 64 KiB at most

}  // namespace

Step CpuExecutable::prepare(const Gemm& op) {
  use(op.weight);
  const int bias = use(op.bias);
  // The bytes may be those of (N, H, W, C): then the weight's columns are packed in that order.
  Buffer input = buffer(home_[op.input]);
  const std::shared_ptr<const PackedMatrix> weight =
      parameters_.matrix(op.weight, static_cast<size_t>(input.channels));
  const Buffer output = buffer(op.output);
  const auto panelWidth = static_cast<ptrdiff_t>(weight->panelWidth());
  const auto depth = static_cast<ptrdiff_t>(weight->columns());
  const bool relu = op.relu;
  // A short last panel must not read past the end of the bias.
  const auto paddedBias =
      std::make_shared<std::vector<float>>(weight->panels() * weight->panelWidth(), 0.0F);
  const ptrdiff_t depthBlock = batch_ <= kernels_.maxRows ? depth : kDepthBlock;

  return [=, this](const Run& run) {
    if (bias != kNone) std::copy_n(parameters_.dense(bias), output.channels, paddedBias->data());
    pool_.run(weight->panels(), [&](size_t panel) {
      const auto firstColumn = static_cast<ptrdiff_t>(panel) * panelWidth;
      PanelProduct product{};
      product.a = input.image(run.arena, 0);
      product.aRowStride = input.imageStride();
      product.rows = batch_;
      product.segments = 1;
      product.c = output.image(run.arena, 0) + firstColumn;
      product.cRowStride = output.imageStride();
      product.columns = static_cast<int>(std::min(panelWidth, output.channels - firstColumn));
      const auto [floats, halves] = weight->panel(panel);
      for (ptrdiff_t start = 0; start < depth; start += depthBlock) {
        const bool isLast = start + depthBlock >= depth;
        product.depth = std::min(depthBlock, depth - start);
        product.bias = isLast ? paddedBias->data() + firstColumn : nullptr;
        product.accumulate = start > 0;
        product.relu = relu && isLast;
        const ptrdiff_t end = (start + product.depth) * panelWidth;
        if (halves != nullptr) {
          product.halfB = halves + start * panelWidth;
          product.next = depthBlock < depth ? halves + end : nullptr;
        } else {
          product.b = floats + start * panelWidth;
          product.next = depthBlock < depth ? floats + end : nullptr;
        }
        kernels_.multiply(product);
        product.a += product.depth;
      }
    });
  };
}

}  // namespace vgg::cpu
