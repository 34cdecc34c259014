// Pillow's resize of an 8-bit RGB image, in colour or grey. Only one window of it is computed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "image/filter.h"

namespace vgg::image {

/**
 * Sizes and offsets in pixels of the upright image. `left` and `top` are the window's corner within
 * the resized image. `orientation` is the EXIF orientation, 1 to 8. It says how the pixels lie in
 * memory.
 */
struct ResizeGeometry {
  int64_t width, height;
  int64_t resizedWidth, resizedHeight;
  int64_t left, top;
  int64_t cropWidth, cropHeight;
  int64_t orientation = 1;
  Interpolation interpolation = Interpolation::kBilinear;
  /** Of the result: 3, or 1 for grey. */
  int64_t channels = 3;
};

/** Bytes of a pixel before the resize. */
constexpr size_t kPixelBytes = 3;

/** Throws Error kInternal unless all sizes are at least 1, the window lies within the resized
 * image, the orientation is one of the eight, and there are 1 or 3 channels. */
void checkGeometry(const ResizeGeometry& geometry);

/**
 * (height, width, 3) → (cropHeight, cropWidth, channels), to the bit as Pillow does: convert("L")
 * if there is one channel, then the filter, which is widened by the ratio where the image shrinks;
 * first along rows, then along columns, each with weights in fixed point and its result rounded to
 * 8 bits. From orientation 5 on `pixels` is (width, height, 3). The pixels are read where they lie:
 * turning them first would cost more. For grey they are overwritten.
 */
void resizeAndCrop(uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped);

}  // namespace vgg::image
