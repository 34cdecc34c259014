// Converts between the API's (N, C, H, W) and the channels-last buffers of this back end.
#include <algorithm>
#include <cstring>

#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kBlock =
    16;  // channels × pixels moved at a time, so that source and target stay in cache

/** Calls move(nchw offset, nhwc offset from the start of row y of image n) for each element of the
 * row. */
template <typename Move>
void forRow(const Buffer& buffer, ptrdiff_t n, ptrdiff_t y, const Move& move) {
  const ptrdiff_t plane = buffer.height * buffer.width;
  const ptrdiff_t start = n * buffer.channels * plane + y * buffer.width;
  for (ptrdiff_t x0 = 0; x0 < buffer.width; x0 += kBlock) {
    const ptrdiff_t x1 = std::min(x0 + kBlock, buffer.width);
    for (ptrdiff_t c = 0; c < buffer.channels; ++c) {
      for (ptrdiff_t x = x0; x < x1; ++x) move(start + c * plane + x, x * buffer.channels + c);
    }
  }
}

}  // namespace

Step CpuExecutable::prepareInput(size_t index) {
  const Buffer to = buffer(program_.inputs[index]);
  return [=, this](const Run& run) {
    const auto* from = reinterpret_cast<const float*>(run.input(index));
    forEachRow(run, to.height, [&](ptrdiff_t n, ptrdiff_t y) {
      clearBorder(to, run.arena, n, y, y + 1);
      float* row = to.pixel(run.arena, n, y, 0);
      forRow(to, n, y, [&](ptrdiff_t nchw, ptrdiff_t nhwc) { row[nhwc] = from[nchw]; });
    });
  };
}

Step CpuExecutable::prepareOutput(size_t index) {
  const Buffer from = buffer(program_.outputs[index]);
  return [=, this](const Run& run) {
    // Copy 32-bit words, because the indices of topK are integers.
    auto* to = reinterpret_cast<uint32_t*>(run.output(index));
    forEachRow(run, from.height, [&](ptrdiff_t n, ptrdiff_t y) {
      const float* row = from.pixel(run.arena, n, y, 0);
      forRow(from, n, y, [&](ptrdiff_t nchw, ptrdiff_t nhwc) {
        std::memcpy(to + nchw, row + nhwc, sizeof *to);
      });
    });
  };
}

}  // namespace vgg::cpu
