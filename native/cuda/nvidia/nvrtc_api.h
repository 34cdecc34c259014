// Lists the types, values and functions of NVRTC that are called (api.h).
#pragma once

#include <cstddef>

#ifdef VGG_NVIDIA_HEADERS
#include <nvrtc.h>
#else
using nvrtcResult = int;
using nvrtcProgram = struct _nvrtcProgram*;  // NOLINT(bugprone-reserved-identifier)
#endif

/** Values of its enum: VALUE(name, value). */
#define VGG_NVRTC_VALUES(VALUE)       \
  VALUE(NVRTC_SUCCESS, 0)             \
  VALUE(NVRTC_ERROR_OUT_OF_MEMORY, 1) \
  VALUE(NVRTC_ERROR_COMPILATION, 6)

// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
#ifndef VGG_NVIDIA_HEADERS
// Their names are NVIDIA's, so that they can be looked up in NVIDIA's documents.
enum : int {  // NOLINT(performance-enum-size): values of many enums
#define VGG_VALUE(name, value) name = value,
  VGG_NVRTC_VALUES(VGG_VALUE)
#undef VGG_VALUE
};
#endif

/** libnvrtc.so.13 or .12. */
#define VGG_NVRTC(FUNCTION)                                                                \
  FUNCTION(nvrtcResult, nvrtcVersion, (int* major, int* minor))                            \
  FUNCTION(const char*, nvrtcGetErrorString, (nvrtcResult result))                         \
  FUNCTION(nvrtcResult, nvrtcGetNumSupportedArchs, (int* count))                           \
  FUNCTION(nvrtcResult, nvrtcGetSupportedArchs, (int* architectures))                      \
  FUNCTION(nvrtcResult, nvrtcCreateProgram,                                                \
           (nvrtcProgram * program, const char* source, const char* name, int headerCount, \
            const char* const* headers, const char* const* includeNames))                  \
  FUNCTION(nvrtcResult, nvrtcDestroyProgram, (nvrtcProgram * program))                     \
  FUNCTION(nvrtcResult, nvrtcCompileProgram,                                               \
           (nvrtcProgram program, int optionCount, const char* const* options))            \
  FUNCTION(nvrtcResult, nvrtcGetProgramLogSize, (nvrtcProgram program, size_t* bytes))     \
  FUNCTION(nvrtcResult, nvrtcGetProgramLog, (nvrtcProgram program, char* log))             \
  FUNCTION(nvrtcResult, nvrtcGetCUBINSize, (nvrtcProgram program, size_t* bytes))          \
  FUNCTION(nvrtcResult, nvrtcGetCUBIN, (nvrtcProgram program, char* cubin))                \
  FUNCTION(nvrtcResult, nvrtcGetPTXSize, (nvrtcProgram program, size_t* bytes))            \
  FUNCTION(nvrtcResult, nvrtcGetPTX, (nvrtcProgram program, char* ptx))
// NOLINTEND(bugprone-macro-parentheses)
