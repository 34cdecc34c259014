// ReLU as a row of its own: only where the value before it is wanted too. Otherwise it is part of
// conv2d or gemm.
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Relu& op) {
  return perPixelRow(buffer(op.input), buffer(op.output), {}, {}, true);
}

}  // namespace vgg::cpu
