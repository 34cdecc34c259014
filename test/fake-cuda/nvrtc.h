// The image that the fake NVRTC makes and the fake driver loads: the name of a kernel source file
// that is compiled into this library, and the requested architecture.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace fake {

struct KernelText {
  const char* name;
  const char* text;
};
/** The files of native/cuda/kernels when this library was built (made by CMake). */
const std::vector<KernelText>& kernelTexts();

struct Image {
  std::string file;
  int architecture = 0;  // 90
  bool isPtx = false;

  std::string text() const;
  static std::optional<Image> parse(const char* text);
};

}  // namespace fake
