#include "cuda/nvidia/nvrtc.h"

#include <algorithm>
#include <array>
#include <vector>

#include "cuda/nvidia/kernel_sources.h"

namespace vgg::cuda {
namespace {

const char* textOf(const std::string& file) {
  for (const KernelSource& source : kernelSources()) {
    if (file == source.name) return source.text;
  }
  throw Error(Code::kInternal, "There is no kernel source " + file);
}

template <typename Type>
void check(const Api& api, const NvrtcFunction<Type>& function, nvrtcResult result) {
  if (result == NVRTC_SUCCESS) return;
  throw Error(result == NVRTC_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kInternal,
              std::string(function.name()) + " failed: " + api.nvrtcGetErrorString(result));
}

template <typename Result, typename... Parameters>
void call(const Api& api, const NvrtcFunction<Result(Parameters...)>& function,
          std::type_identity_t<Parameters>... arguments) {
  check(api, function, function(arguments...));
}

/** Returns the target of a compilation: machine code if NVRTC knows the GPU, else PTX, which the
 * driver compiles. */
std::string architecture(const Api& api, int capability) {
  int count = 0;
  call(api, api.nvrtcGetNumSupportedArchs, &count);
  std::vector<int> known(static_cast<size_t>(count));
  call(api, api.nvrtcGetSupportedArchs, known.data());
  // "a" allows instructions that no other GPU has (kernels/warpgroup.h).
  if (std::count(known.begin(), known.end(), capability) > 0)
    return "sm_" + std::to_string(capability) + (capability == 90 ? "a" : "");
  int newest = 0;
  for (const int arch : known) {
    if (arch <= capability) newest = std::max(newest, arch);
  }
  return "compute_" + std::to_string(newest);
}

class Program {
 public:
  Program(const Api& api, const std::string& file) : api_(api) {
    std::vector<const char*> names;
    std::vector<const char*> headers;
    for (const KernelSource& source : kernelSources()) {
      if (!std::string_view(source.name).ends_with(".h")) continue;
      names.push_back(source.name);
      headers.push_back(source.text);
    }
    call(api_, api_.nvrtcCreateProgram, &program_, textOf(file), file.c_str(),
         static_cast<int>(names.size()), headers.data(), names.data());
  }
  ~Program() { api_.nvrtcDestroyProgram(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] nvrtcProgram get() const { return program_; }

  [[nodiscard]] std::string log() const {
    size_t bytes = 0;
    api_.nvrtcGetProgramLogSize(program_, &bytes);
    std::string text(bytes, '\0');
    if (bytes > 0) api_.nvrtcGetProgramLog(program_, text.data());
    while (!text.empty() && text.back() == '\0') text.pop_back();
    return text;
  }

 private:
  const Api& api_;
  nvrtcProgram program_ = nullptr;
};

}  // namespace

CompiledKernels compileKernels(const Libraries& libraries, const std::string& file, int capability,
                               bool verbose) {
  if (!libraries.nvrtc.problem.empty())
    throw Error(Code::kLibraryMissing, libraries.nvrtc.name + ": " + libraries.nvrtc.problem);
  const Api& api = libraries.api;
  const std::string target = architecture(api, capability);
  const std::string option = "--gpu-architecture=" + target;
  std::vector<const char*> options{option.c_str(), "--std=c++17", "-default-device"};
  if (verbose) options.push_back("-Xptxas=-v");
  const Program program(api, file);
  const nvrtcResult result =
      api.nvrtcCompileProgram(program.get(), static_cast<int>(options.size()), options.data());
  if (result == NVRTC_ERROR_COMPILATION)
    throw Error(Code::kInternal, "NVRTC refused " + file + " for " + target + ": " + program.log());
  check(api, api.nvrtcCompileProgram, result);
  CompiledKernels compiled{{}, program.log()};
  size_t bytes = 0;
  if (target.starts_with("sm_")) {
    call(api, api.nvrtcGetCUBINSize, program.get(), &bytes);
    compiled.image.resize(bytes);
    call(api, api.nvrtcGetCUBIN, program.get(), compiled.image.data());
  } else {
    call(api, api.nvrtcGetPTXSize, program.get(), &bytes);
    compiled.image.resize(bytes);
    call(api, api.nvrtcGetPTX, program.get(), compiled.image.data());
  }
  return compiled;
}

std::string kernelsText(const std::string& file) {
  uint64_t text = hash(textOf(file));
  for (const KernelSource& source : kernelSources()) {
    if (std::string_view(source.name).ends_with(".h")) text = hash(source.text, text);
  }
  return std::to_string(text);
}

std::string kernelsKey(const Libraries& libraries, const std::string& file, int capability) {
  // The key has the major version, because an older CUDA may not load what a newer one compiled.
  return "kernels " + file + " " + kernelsText(file) + " sm_" + std::to_string(capability) +
         " CUDA " + std::to_string(libraries.cudaMajor);
}

Kernels::~Kernels() {
  const Context::Visit visit(context_, std::nothrow);
  for (const auto& [file, module] : modules_) {
    if (!context_.isLost()) context_.api().cuModuleUnload(module);
  }
}

CUmodule Kernels::load(const std::string& file) {
  const Libraries& libraries = context_.libraries();
  const int capability = context_.gpu().capability();
  const std::string key = kernelsKey(libraries, file, capability);
  CUmodule module = nullptr;
  if (const auto image = cache_.read(key)) {
    const CUresult result = context_.api().cuModuleLoadData(&module, image->c_str());
    // An image of another driver, or planned for another GPU, is compiled anew.
    const bool isUnfit =
        result == CUDA_ERROR_INVALID_IMAGE || result == CUDA_ERROR_NO_BINARY_FOR_GPU ||
        result == CUDA_ERROR_INVALID_PTX || result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    if (!isUnfit) {
      context_.check(context_.api().cuModuleLoadData, result);
      return module;
    }
  }
  const CompiledKernels compiled = compileKernels(libraries, file, capability);
  context_.call(context_.api().cuModuleLoadData, &module, compiled.image.c_str());
  cache_.write(key, compiled.image);
  return module;
}

CUfunction Kernels::function(const std::string& file, const std::string& name) {
  const auto known = functions_.find(name);
  if (known != functions_.end()) return known->second;
  if (!modules_.contains(file)) modules_.emplace(file, load(file + ".cu"));
  CUfunction function = nullptr;
  context_.call(context_.api().cuModuleGetFunction, &function, modules_.at(file), name.c_str());
  functions_.emplace(name, function);
  return function;
}

std::optional<bool> Kernels::isRight(const std::string& what, const std::function<bool()>& check) {
  if (const auto known = verdicts_.find(what); known != verdicts_.end()) return known->second;
  bool isRight = false;
  try {
    isRight = check();
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    if (error.code() == Code::kOutOfMemory) return std::nullopt;
  }
  return verdicts_.emplace(what, isRight).first->second;
}

void Kernels::enqueue(CUstream stream, CUfunction function, Grid grid, unsigned block,
                      void** parameters) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    throw Error(Code::kUnsupported, "The batch is too large for one launch");
  // From compute capability 9.0 on, a kernel may start before the previous one has ended. Each of
  // our kernels waits by itself for what it reads.
  std::array<CUlaunchAttribute, 2> attributes{};
  unsigned count = 0;
  // Graphs capture this attribute from CUDA 12.3 on.
  if (context_.gpu().major >= 9 && context_.libraries().driverVersion >= 12030) {
    CUlaunchAttribute& overlap = attributes[count++];
    overlap.id =
        static_cast<CUlaunchAttributeID>(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
    overlap.value.programmaticStreamSerializationAllowed = 1;
  }
  if (grid.cluster > 1) {
    CUlaunchAttribute& cluster = attributes[count++];
    cluster.id = static_cast<CUlaunchAttributeID>(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
    cluster.value.clusterDim = {grid.cluster, 1, 1};
  }
  CUlaunchConfig config{};
  config.gridDimX = static_cast<unsigned>(grid.x);
  config.gridDimY = static_cast<unsigned>(grid.y);
  config.gridDimZ = static_cast<unsigned>(grid.z);
  config.blockDimX = block;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  config.sharedMemBytes = grid.sharedBytes;
  config.attrs = attributes.data();
  config.numAttrs = count;
  context_.call(context_.api().cuLaunchKernelEx, &config, function, parameters, nullptr);
}

}  // namespace vgg::cuda
