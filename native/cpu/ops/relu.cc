// ReLU as a separate row: only if the value before it has another use. Otherwise it is fused into
// conv2d or gemm.
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Relu& op) {
  return perPixelRow(buffer(op.input), buffer(op.output), {}, {}, true);
}

}  // namespace vgg::cpu
