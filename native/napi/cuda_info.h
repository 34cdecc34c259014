// CUDA information that needs no open GPU: the libraries, the GPUs, and plans for GPUs that this
// machine lacks.
#pragma once

#include <napi.h>

namespace vgg::napi {

/** cudaDevices() → the GPUs that the driver lists; an empty list if there is no driver or it does
 * not start. */
Napi::Value cudaDevices(const Napi::CallbackInfo& info);

/** cudaReport() → the state of each library and every attempt to load it. */
Napi::Value cudaReport(const Napi::CallbackInfo& info);

/** cudaDriver() → { version, problem }. Loads the driver only. */
Napi::Value cudaDriver(const Napi::CallbackInfo& info);

/** setCudaSets([{ cuda, folder }]): the sets of libraries that later calls look into. */
Napi::Value setCudaSets(const Napi::CallbackInfo& info);

/** planConvolutions(gpu, record, parameters, { precision, batch, limit, cacheFolder }) → Promise of
 * rows */
Napi::Value planConvolutions(const Napi::CallbackInfo& info);

/** stepCosts(record, parameters, { precision, batch, form | null }) → rows. Needs no NVIDIA
 * library.
 */
Napi::Value stepCosts(const Napi::CallbackInfo& info);

/** compileKernels(capability, cacheFolder) → Promise of rows */
Napi::Value compileKernels(const Napi::CallbackInfo& info);

}  // namespace vgg::napi
