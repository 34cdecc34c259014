// An addon of a few lines that builds in a second, for tests of installations.
/** What builds the small addon. */
export const project = `cmake_minimum_required(VERSION 3.18)
project(vgg_cudnn LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
add_library(vgg_cudnn MODULE addon.cc)
set_target_properties(vgg_cudnn PROPERTIES PREFIX "" SUFFIX ".node")
target_include_directories(vgg_cudnn PRIVATE \${CMAKE_JS_INC})
`;

/** Its source. The loader calls `halt` at exit. */
export const source = `#include <node_api.h>
#if !__has_include(<napi.h>)
#error no node-addon-api
#endif
static napi_value halt(napi_env, napi_callback_info) { return nullptr; }
extern "C" __attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "halt", NAPI_AUTO_LENGTH, halt, nullptr, &function);
  napi_set_named_property(env, exports, "halt", function);
  return exports;
}
`;
