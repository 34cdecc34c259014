// The package's kernels, compiled by the fake NVRTC and launched by the fake driver.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fixture.h"
#include "tests.h"

namespace {

std::string readFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

void ownKernelsAreCompiledAndRun() {
  std::vector<std::string> names;
  std::vector<std::string> texts;
  for (const auto& entry : std::filesystem::directory_iterator(FAKE_CUDA_KERNELS)) {
    if (entry.path().extension() != ".h") continue;
    names.push_back(entry.path().filename());
    texts.push_back(readFile(entry.path()));
  }
  std::vector<const char*> namePointers;
  std::vector<const char*> textPointers;
  for (size_t i = 0; i < names.size(); ++i) {
    namePointers.push_back(names[i].c_str());
    textPointers.push_back(texts[i].c_str());
  }
  const std::string source = readFile(FAKE_CUDA_KERNELS "/pointwise.cu");
  const auto compile = [&](const std::string& text, const char* architecture, int headers,
                           std::string* image) {
    nvrtcProgram program = nullptr;
    OK(nvrtcCreateProgram(&program, text.c_str(), "pointwise.cu", headers, textPointers.data(),
                          namePointers.data()));
    const char* options[] = {architecture, "--std=c++17", "-default-device"};
    const int result = nvrtcCompileProgram(program, 3, options);
    size_t bytes = 0;
    if (result == 0) {
      OK(nvrtcGetCUBINSize(program, &bytes));
      image->resize(bytes);
      OK(nvrtcGetCUBIN(program, image->data()));
    } else {
      OK(nvrtcGetProgramLogSize(program, &bytes));
      EXPECT(bytes > 1);
    }
    OK(nvrtcDestroyProgram(&program));
    return result;
  };
  const int count = static_cast<int>(names.size());
  std::string image;
  EXPECT(compile(source + " ", "--gpu-architecture=sm_90", count, &image) == 6);
  EXPECT(compile(source, "--gpu-architecture=sm_90", 0, &image) == 6);
  EXPECT(compile(source, "--gpu-architecture=sm_70", count, &image) == 5);
  CUmodule module = nullptr;
  OK(compile(source, "--gpu-architecture=sm_80", count, &image));
  EXPECT_STATUS(cuModuleLoadData(&module, image.c_str()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_STATUS(cuModuleLoadData(&module, "something else"), 200);
  OK(compile(source, "--gpu-architecture=sm_90", count, &image));
  OK(cuModuleLoadData(&module, image.c_str()));
  CUfunction function = nullptr;
  EXPECT_STATUS(cuModuleGetFunction(&function, module, "nothing"), CUDA_ERROR_NOT_FOUND);
  OK(cuModuleGetFunction(&function, module, "affine_f32"));

  auto values = randoms(1024);
  const Buffer x(values, CUDNN_DATA_FLOAT);
  const Buffer y(1024);
  CUdeviceptr from = x.pointer;
  CUdeviceptr none = 0;
  CUdeviceptr to = y.pointer;
  long long vectors = 256;
  int channels = 4;
  int relu = 1;
  void* parameters[] = {&from, &none, &none, &to, &vectors, &channels, &relu};
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 256;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuLaunchKernelEx(&config, function, parameters, nullptr));
  OK(cuStreamEndCapture(stream, &graph));
  from = to = 0;  // The values were copied.
  OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
  OK(cuGraphLaunch(exec, stream));
  for (float& value : values) value = value > 0 ? value : 0;
  EXPECT(farthest(y.read(), values) == 0);
  for (unsigned CUlaunchConfig::* field : {&CUlaunchConfig::gridDimX, &CUlaunchConfig::blockDimY}) {
    CUlaunchConfig wrong = config;
    wrong.*field = field == &CUlaunchConfig::gridDimX ? 0 : 8;
    EXPECT_STATUS(cuLaunchKernelEx(&wrong, function, parameters, nullptr),
                  CUDA_ERROR_INVALID_VALUE);
  }
  config.sharedMemBytes = 50 << 10;
  EXPECT_STATUS(cuLaunchKernelEx(&config, function, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  OK(cuGraphExecDestroy(exec));
  OK(cuGraphDestroy(graph));
  OK(cuModuleUnload(module));
  EXPECT(control().modules == 0 && control().nvrtcPrograms == 0);
}
