// ReLU as a step. Most ReLUs are part of the operation before them.
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Relu& op) {
  return perPixelRow(buffer(op.input), buffer(op.output), {}, {}, true);
}

}  // namespace vgg::cpu
