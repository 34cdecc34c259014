// What is known of CUDA without opening a GPU: the libraries, the GPUs, and plans for GPUs that are
// not here.
#pragma once

#include <napi.h>

namespace vgg::napi {

/** cudaDevices() → the GPUs that the driver shows; none where there is no driver or it does not
 * start. */
Napi::Value cudaDevices(const Napi::CallbackInfo& info);

/** cudaReport() → each library as it was found, and every try. */
Napi::Value cudaReport(const Napi::CallbackInfo& info);

/** planConvolutions(gpu, record, parameters, { precision, batch, limit, cacheFolder }) → Promise of
 * rows */
Napi::Value planConvolutions(const Napi::CallbackInfo& info);

/** planSteps(record, parameters, { precision, batch, form | null }) → rows; needs none of NVIDIA's
 * libraries */
Napi::Value planSteps(const Napi::CallbackInfo& info);

/** planKernels(capability, cacheFolder) → Promise of rows */
Napi::Value planKernels(const Napi::CallbackInfo& info);

}  // namespace vgg::napi
