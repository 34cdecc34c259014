// resizeCrop of lib/native/addon.ts: runs image/resize.h on libuv's pool.
#pragma once

#include <napi.h>

namespace vgg::napi {

/** resizeCrop(pixels, { width, height, resizedWidth, resizedHeight, left, top, cropSize,
 * orientation }) → Promise of an ArrayBuffer (cropSize, cropSize, 3) of bytes */
Napi::Value resizeCrop(const Napi::CallbackInfo& info);

}  // namespace vgg::napi
