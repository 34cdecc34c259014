// Node-API's functions on Windows, found by name in whatever program loads the addon. An import
// library would name node.exe, and then Electron and a renamed node.exe would not load the addon.
// clang-format off
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#include <psapi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/dynamic_library.h"
#include "core/error.h"
#include "napi/node_functions.h"

// Every function that the addon or node-addon-api calls. The linker reports one that is not here as __imp_NAME.
#define VGG_NODE_FUNCTIONS(F) \
  F(napi_add_env_cleanup_hook) F(napi_add_finalizer) F(napi_adjust_external_memory) \
  F(napi_async_destroy) F(napi_call_function) F(napi_call_threadsafe_function) \
  F(napi_check_object_type_tag) F(napi_close_callback_scope) F(napi_close_escapable_handle_scope) \
  F(napi_close_handle_scope) F(napi_create_array) F(napi_create_array_with_length) \
  F(napi_create_arraybuffer) F(napi_create_async_work) F(napi_create_double) F(napi_create_error) \
  F(napi_create_function) F(napi_create_object) F(napi_create_promise) F(napi_create_range_error) \
  F(napi_create_reference) F(napi_create_string_latin1) F(napi_create_string_utf8) \
  F(napi_create_threadsafe_function) F(napi_create_type_error) F(napi_define_class) \
  F(napi_define_properties) F(napi_delete_async_work) F(napi_delete_reference) \
  F(napi_detach_arraybuffer) F(napi_escape_handle) F(napi_fatal_error) \
  F(napi_get_and_clear_last_exception) F(napi_get_array_length) F(napi_get_boolean) \
  F(napi_get_cb_info) F(napi_get_element) F(napi_get_instance_data) F(napi_get_last_error_info) \
  F(napi_get_named_property) F(napi_get_new_target) F(napi_get_null) F(napi_get_property) \
  F(napi_get_reference_value) F(napi_get_typedarray_info) F(napi_get_undefined) \
  F(napi_get_value_bool) F(napi_get_value_double) F(napi_get_value_string_utf8) \
  F(napi_has_own_property) F(napi_has_property) F(napi_is_array) F(napi_is_exception_pending) \
  F(napi_is_typedarray) F(napi_new_instance) F(napi_open_escapable_handle_scope) \
  F(napi_open_handle_scope) F(napi_queue_async_work) F(napi_ref_threadsafe_function) \
  F(napi_reject_deferred) F(napi_release_threadsafe_function) F(napi_remove_wrap) \
  F(napi_resolve_deferred) F(napi_set_element) F(napi_set_instance_data) F(napi_throw) \
  F(napi_type_tag_object) F(napi_typeof) F(napi_unref_threadsafe_function) F(napi_unwrap) \
  F(napi_wrap)
// clang-format on

namespace {

/** Stands for a function that is not there. No call has a way to go on without it. */
INT_PTR WINAPI endProcess() {
  std::fputs("vgg: Expected the program to have Node-API but it calls a function that is absent\n",
             stderr);
  std::abort();
}

}  // namespace

// The compiler calls a function that is declared as imported through a pointer of this name.
#define VGG_POINTER(name) FARPROC __imp_##name = &endProcess;
extern "C" {
VGG_NODE_FUNCTIONS(VGG_POINTER)
}
#undef VGG_POINTER

namespace vgg::napi {
namespace {

/** Returns the module that has Node-API: the program, which is the first, or a library that has
 * Node.js in it. */
HMODULE findNode() {
  std::vector<HMODULE> modules(1024);
  DWORD bytes = 0;
  if (K32EnumProcessModules(GetCurrentProcess(), modules.data(),
                            static_cast<DWORD>(modules.size() * sizeof(HMODULE)), &bytes) == 0)
    bytes = 0;
  modules.resize(std::min(modules.size(), bytes / sizeof(HMODULE)));
  const auto node = std::ranges::find_if(modules, [](HMODULE module) {
    return GetProcAddress(module, "napi_create_function") != nullptr;
  });
  return node == modules.end() ? GetModuleHandleW(nullptr) : *node;
}

/** The name of a function that the program lacks, or null. */
const char* absent = nullptr;

void fill(HMODULE node, FARPROC& pointer, const char* name) {
  if (FARPROC found = GetProcAddress(node, name))
    pointer = found;
  else
    absent = name;
}

/** Runs as the system loads the addon. Later would be too late, because the compiler reads a
 * pointer once and calls it several times. */
[[gnu::constructor(101)]] void fillPointers() {
  HMODULE node = findNode();
#define VGG_FILL(name) fill(node, __imp_##name, #name);
  VGG_NODE_FUNCTIONS(VGG_FILL)
#undef VGG_FILL
}

}  // namespace

void requireNodeFunctions() {
  if (absent != nullptr)
    throw Error(Code::kUnsupported, "Expected Node.js with Node-API 9 but " +
                                        pathOfLibrary(findNode()) + " lacks " + absent);
}

}  // namespace vgg::napi
