// An addon of a few lines that builds in a second, for tests of installations.
import { addonNames } from "../../lib/native/load.ts";

/** What builds the small addon. */
export const project = `cmake_minimum_required(VERSION 3.18)
project(vgg_cudnn LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
add_library(vgg_cudnn MODULE addon.cc)
set_target_properties(vgg_cudnn PROPERTIES PREFIX "" SUFFIX ".node")
target_include_directories(vgg_cudnn PRIVATE \${CMAKE_JS_INC})
`;

/** Its source. Each function that the loader looks for does nothing. The loader calls `halt` at exit. */
export const source = `#include <node_api.h>
#if !__has_include(<napi.h>)
#error no node-addon-api
#endif
static napi_value nothing(napi_env, napi_callback_info) { return nullptr; }
extern "C" __attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  static const char* const names[] = {${addonNames.map((name) => `"${name}"`).join(", ")}};
  for (const char* name : names) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, nothing, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}
`;
