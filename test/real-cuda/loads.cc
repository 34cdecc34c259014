// Loads NVIDIA's libraries as the addon does and prints the result, then describes each named GPU
// to cuDNN.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "cuda/nvidia/library.h"

int main(int count, char** files) {
  const auto libraries = vgg::cuda::loadLibraries();
  for (const auto* library :
       {&libraries->driver, &libraries->cudnn, &libraries->cublasLt, &libraries->nvrtc})
    std::printf("%s | %s | %s | %s\n", library->name.c_str(), library->version.c_str(),
                library->path.c_str(), library->problem.c_str());
  if (!libraries->cudnn.problem.empty()) return 1;
  const vgg::cuda::Api& api = libraries->api;
  for (int i = 1; i < count; i++) {
    std::ostringstream text;
    text << std::ifstream(files[i]).rdbuf();
    const std::string json = text.str();
    cudnnBackendDescriptor_t device = nullptr;
    cudnnStatus_t status =
        api.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &device);
    if (status == CUDNN_STATUS_SUCCESS)
      status = api.cudnnBackendSetAttribute(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                            CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()),
                                            json.data());
    if (status == CUDNN_STATUS_SUCCESS) status = api.cudnnBackendFinalize(device);
    char reason[400] = "";
    if (status != CUDNN_STATUS_SUCCESS) api.cudnnGetLastErrorString(reason, sizeof reason);
    std::printf("%s | %d | %s\n", files[i], static_cast<int>(status), reason);
    if (device != nullptr) api.cudnnBackendDestroyDescriptor(device);
  }
}
