// Antialiased bilinear resize of an 8-bit RGB image. Only one window of it is computed.
#pragma once

#include <cstddef>
#include <cstdint>

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
};

/** Throws Error kInternal unless all sizes are at least 1, the window lies within the resized image
 * and the orientation is one of the eight. */
void checkGeometry(const ResizeGeometry& geometry);

/**
 * (height, width, 3) → (cropHeight, cropWidth, 3), to the bit as Pillow's BILINEAR does: a triangle
 * filter, widened by the ratio where the image shrinks; first along rows, then along columns, each
 * with weights in fixed point and its result rounded to 8 bits. From orientation 5 on `pixels` is
 * (width, height, 3). The pixels are read where they lie: turning them first would cost more.
 */
void resizeAndCrop(const uint8_t* pixels, const ResizeGeometry& geometry, uint8_t* cropped);

}  // namespace vgg::image
