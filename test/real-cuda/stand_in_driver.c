// A libcuda.so.1 for machines without one. It accepts compiled code and runs nothing. cuDNN 9.28
// does not load without such a library, and no version of cuDNN compiles engines at run time (fp8,
// convolution and pooling in one) without it.
//
// VGG_STAND_IN_GPU=FILE, a description of gpus.ts, makes one GPU present. Without it there is none.
// VGG_STAND_IN_LOG=1 prints each loaded module and function, and each call that would need a GPU,
// to standard error.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  success = 0,
  invalidValue = 1,
  noDevice = 100,
  invalidDevice = 101,
  notFound = 500,
  notSupported = 801,
};

typedef unsigned long long Pointer;

static void report(const char* call, const char* what) {
  if (getenv("VGG_STAND_IN_LOG")) fprintf(stderr, "stand-in driver: %s %s\n", call, what);
}

// ---- The GPU ----

/** The description, read once. NULL if there is no GPU. */
static const char* gpu(void) {
  static char text[4096];
  static int state;  // 0 unread, 1 present, 2 absent. A race reads the same bytes twice.
  if (state == 0) {
    const char* path = getenv("VGG_STAND_IN_GPU");
    FILE* file = path && *path ? fopen(path, "r") : NULL;
    const size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[size] = 0;
    state = size ? 1 : 2;
  }
  return state == 1 ? text : NULL;
}

/** The text after `"key":`, or NULL if the key is missing. */
static const char* valueOf(const char* key) {
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  const char* found = gpu() ? strstr(gpu(), quoted) : NULL;
  return found ? found + strlen(quoted) + strspn(found + strlen(quoted), " ") : NULL;
}

static long long numberOf(const char* key) {
  const char* value = valueOf(key);
  return value ? atoll(value) : 0;
}

int cuInit(unsigned flags) {
  (void)flags;
  return gpu() ? success : noDevice;
}

int cuDriverGetVersion(int* version) {
  *version = gpu() ? (int)numberOf("driverVer") : 13000;
  return success;
}

int cuDeviceGetCount(int* count) {
  *count = gpu() ? 1 : 0;
  return gpu() ? success : noDevice;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = 0;
  return gpu() && ordinal == 0 ? success : invalidDevice;
}

int cuDeviceGetName(char* name, int length, int device) {
  const char* value = valueOf("deviceName");
  if (!value || device != 0) return invalidDevice;
  snprintf(name, (size_t)length, "%.*s", (int)strcspn(value + 1, "\""), value + 1);
  return success;
}

int cuDeviceGetPCIBusId(char* id, int length, int device) {
  snprintf(id, (size_t)length, "0000:01:00.0");
  return gpu() && device == 0 ? success : invalidDevice;
}

int cuDeviceGetUuid_v2(char* uuid, int device) {
  memset(uuid, 0x5a, 16);
  return gpu() && device == 0 ? success : invalidDevice;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  *bytes = (size_t)numberOf("totalGlobalMem");
  return gpu() && device == 0 ? success : invalidDevice;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = *total = (size_t)numberOf("totalGlobalMem");
  return gpu() ? success : noDevice;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  // Each CUdevice_attribute with the description's key.
  static const struct {
    int attribute;
    const char* key;
  } attributes[] = {
      {1, "maxThreadsPerBlock"},
      {8, "maxSharedMemoryPerBlock"},
      {10, "warpSize"},
      {12, "regsPerBlock"},
      {13, "smClockRateKHz"},
      {16, "multiProcessorCount"},
      {36, "memClockRateKHz"},
      {37, "memoryBusWidth"},
      {38, "l2CacheSize"},
      {39, "maxThreadsPerSM"},
      {82, "maxRegistersPerSM"},
      {95, "supportCoopLaunch"},
      {97, "maxSharedMemoryPerBlockOptin"},
      {106, "maxCtasPerSM"},
      {111, "reservedSharedMemoryPerBlock"},
  };
  if (!gpu() || device != 0) return invalidDevice;
  if (attribute == 75) return *value = (int)(numberOf("deviceVer") / 100), success;
  if (attribute == 76) return *value = (int)(numberOf("deviceVer") % 100 / 10), success;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    if (attributes[i].attribute == attribute)
      return *value = (int)numberOf(attributes[i].key), success;
  return invalidValue;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = (void*)"context";
  return gpu() && device == 0 ? success : invalidDevice;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  return gpu() && device == 0 ? success : invalidDevice;
}

int cuCtxSetCurrent(void* context) { return (void)context, success; }

int cuCtxPushCurrent_v2(void* context) { return (void)context, success; }

int cuCtxPopCurrent_v2(void** context) { return (void)context, success; }

int cuGetErrorName(int error, const char** name) {
  *name = error == notSupported ? "CUDA_ERROR_NOT_SUPPORTED"
          : error == noDevice   ? "CUDA_ERROR_NO_DEVICE"
                                : "CUDA_ERROR";
  return success;
}

int cuGetErrorString(int error, const char** text) {
  (void)error;
  *text = "the stand-in driver runs nothing";
  return success;
}

// ---- Code: accepted, never run. A module is its image, a function is its name. ----

int cuModuleLoadData(void** module, const void* image) {
  report("cuModuleLoadData", "");
  *module = (void*)image;
  return success;
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned count, void* options,
                       void* values) {
  (void)count, (void)options, (void)values;
  return cuModuleLoadData(module, image);
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  (void)module;
  report("cuModuleGetFunction", name);
  *function = strdup(name);
  return success;
}

int cuModuleUnload(void* module) { return (void)module, success; }

int cuLibraryLoadData(void** library, const void* code, void* jit, void* jitValues,
                      unsigned jitCount, void* options, void* values, unsigned count) {
  (void)jit, (void)jitValues, (void)jitCount, (void)options, (void)values, (void)count;
  return cuModuleLoadData(library, code);
}

int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  return cuModuleGetFunction(kernel, library, name);
}

int cuLibraryUnload(void* library) { return (void)library, success; }

int cuKernelGetFunction(void** function, void* kernel) {
  *function = kernel;
  return success;
}

int cuKernelGetAttribute(int* value, int attribute, void* kernel, int device) {
  (void)attribute, (void)kernel, (void)device;
  *value = 0;
  return success;
}

int cuKernelSetAttribute(int attribute, int value, void* kernel, int device) {
  (void)attribute, (void)value, (void)kernel, (void)device;
  return success;
}

int cuFuncGetAttribute(int* value, int attribute, void* function) {
  (void)attribute, (void)function;
  *value = 0;
  return success;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
  (void)function, (void)attribute, (void)value;
  return success;
}

int cuTensorMapEncodeTiled(void) { return success; }
int cuTensorMapEncodeIm2col(void) { return success; }

// ---- Refused ----

// CUDA's run time, which is inside cuDNN and cuBLASLt, asks for each function here. Without any it
// finds no GPU, and cuDNN plans for the described one.
int cuGetProcAddress_v2(const char* symbol, void** function, int version, Pointer flags,
                        int* status) {
  (void)version, (void)flags;
  report("cuGetProcAddress", symbol);
  *function = NULL;
  if (status) *status = 1;
  return notFound;
}

int cuGetProcAddress(const char* symbol, void** function, int version, Pointer flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

int cuGetExportTable(const void** table, const void* id) {
  (void)id;
  *table = NULL;
  return notFound;
}

// Functions that the addon and cuDNN look up and that only a GPU could perform.
#define VGG_REFUSED(name) \
  int name(void) { return report(#name, "refused"), notSupported; }
VGG_REFUSED(cuCtxGetCurrent)
VGG_REFUSED(cuCtxGetLimit)
VGG_REFUSED(cuCtxPopCurrent)
VGG_REFUSED(cuCtxPushCurrent)
VGG_REFUSED(cuEventCreate)
VGG_REFUSED(cuEventDestroy_v2)
VGG_REFUSED(cuEventElapsedTime)
VGG_REFUSED(cuEventRecord)
VGG_REFUSED(cuEventQuery)
VGG_REFUSED(cuEventSynchronize)
VGG_REFUSED(cuGraphDestroy)
VGG_REFUSED(cuGraphExecDestroy)
VGG_REFUSED(cuGraphInstantiateWithFlags)
VGG_REFUSED(cuGraphLaunch)
VGG_REFUSED(cuGraphUpload)
VGG_REFUSED(cuLaunchCooperativeKernel)
VGG_REFUSED(cuLaunchKernel)
VGG_REFUSED(cuLaunchKernelEx)
VGG_REFUSED(cuLibraryLoadFromFile)
VGG_REFUSED(cuLinkAddData)
VGG_REFUSED(cuLinkComplete)
VGG_REFUSED(cuLinkCreate)
VGG_REFUSED(cuLinkDestroy)
VGG_REFUSED(cuMemAlloc_v2)
VGG_REFUSED(cuMemFree_v2)
VGG_REFUSED(cuMemFreeHost)
VGG_REFUSED(cuMemHostAlloc)
VGG_REFUSED(cuMemcpyDtoDAsync_v2)
VGG_REFUSED(cuMemcpyDtoHAsync_v2)
VGG_REFUSED(cuMemcpyHtoDAsync_v2)
VGG_REFUSED(cuMemsetD8Async)
VGG_REFUSED(cuOccupancyMaxPotentialClusterSize)
VGG_REFUSED(cuStreamBeginCapture_v2)
VGG_REFUSED(cuStreamCreate)
VGG_REFUSED(cuStreamDestroy_v2)
VGG_REFUSED(cuStreamEndCapture)
VGG_REFUSED(cuStreamGetCtx)
VGG_REFUSED(cuStreamSynchronize)
VGG_REFUSED(cuStreamWaitEvent)
