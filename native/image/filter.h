// The weights of Pillow's resize along one axis, in fixed point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vgg::image {

/** Pillow's filters. */
enum class Interpolation : std::uint8_t { kNearest, kBox, kBilinear, kBicubic, kLanczos };

/** A sum of 8-bit samples times weights that add up to one must fit 31 bits, with one to spare. */
constexpr int kWeightBits = 32 - 8 - 2;

/** The input samples that one output sample is made of: `count` from `first` on. */
struct Tap {
  int64_t first;
  int64_t count;
  size_t weights;
};

struct Filter {
  std::vector<Tap> taps;
  std::vector<int32_t> weights;
};

/** One axis of a resize. */
struct Axis {
  /** Samples before and after the resize. */
  int64_t from, to;
  /** The output samples that are wanted: [offset, offset + count). */
  int64_t offset, count;
  /** The input lies in memory from its last sample to its first. */
  bool isMirrored;
};

/** The weights of a filter other than kNearest. */
Filter makeFilter(Interpolation interpolation, const Axis& axis);

/** The input sample of each output sample, as Pillow's NEAREST chooses it. */
std::vector<int64_t> nearestSamples(const Axis& axis);

}  // namespace vgg::image
