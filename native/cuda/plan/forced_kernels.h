// Kernels that a device uses without timing others, to compare them (docs/gpu.md).
#pragma once

#include <compare>
#include <cstdint>

namespace vgg::cuda {

/** What runs convolutions. kPlain and kFused apply to all but the first layer. kCudnn takes the
 * faster of these two. kDirect uses our own kernel for each convolution that it can compute. */
enum class ForcedForm : std::uint8_t { kNone, kPlain, kFused, kCudnn, kDirect };

/** What runs linear layers. kDense never skips zeros. kSparse skips zeros in each layer that is
 * computed for one image. */
enum class ForcedLinear : std::uint8_t { kNone, kDense, kSparse };

struct ForcedKernels {
  ForcedForm form = ForcedForm::kNone;
  ForcedLinear linear = ForcedLinear::kNone;

  auto operator<=>(const ForcedKernels&) const = default;
};

}  // namespace vgg::cuda
