// The launches of a forward, as far as they are known without a GPU: kernels, grids, bytes and
// operations. Lowering binds addresses to them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cuda/nvidia/nvrtc.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {

/** One launch of our kernels, one plan of cuDNN's, one product of cuBLASLt's, or one copy. A plan
 * or a product may launch more than one kernel. */
struct Launch {
  std::string name{};      // the layer's or the operation's
  std::string file{};      // of our kernel in kernels/, without its ending; empty if it is not ours
  std::string kernel{};    // ours, by name; otherwise "cuDNN", "cuBLASLt" or "copy"
  Grid grid{};             // our kernel's
  size_t bytes = 0;        // activations, read and written once each
  size_t weightBytes = 0;  // read once
  double operations = 0;   // additions and multiplications

  [[nodiscard]] size_t blocks() const { return file.empty() ? 0 : grid.x * grid.y * grid.z; }
};

/** Gives the launches of each step. For a linear layer it gives our kernel if that is a candidate.
 * A GPU chooses convolutions and linear layers by time, and may choose otherwise. */
class Launches {
 public:
  /** All references outlive this. cuDNN's convolutions take the form `wanted`, or each its
   * likeliest. */
  Launches(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
           int64_t batch, const Choices& choices, std::optional<Form> wanted = std::nullopt)
      : program_(program),
        specs_(specs),
        precision_(precision),
        batch_(batch),
        choices_(choices),
        wanted_(wanted) {}

  /** Returns all launches of a forward, in their order. */
  [[nodiscard]] std::vector<Launch> forward() const;

  // Each operation has one overload, in the file of its name in ops/.
#define VGG_LAUNCHES(Kind) [[nodiscard]] std::vector<Launch> of(const Kind& op) const;
  VGG_FOR_EACH_OPERATION(VGG_LAUNCHES)
#undef VGG_LAUNCHES
  // ops/conv2d/first_layer.cc
  /** Returns a grid of one block for each tile and slice of channels. A GPU launches as many blocks
   * as it has room for. */
  [[nodiscard]] Launch firstLayer(const Conv2d& op, const FirstLayer& layer) const;
  // ops/transpose.cc
  [[nodiscard]] Launch input(int value) const;
  /** Returns nothing if the value is computed in the memory from which the caller reads it. */
  [[nodiscard]] std::optional<Launch> output(size_t index) const;
  // ops/batch_norm.cc
  /** output = input · scale + shift, maybe with a ReLU. */
  [[nodiscard]] static Launch affine(const std::string& name, const Buffer& input,
                                     const Buffer& output, double operations);

 private:
  // ops/conv2d.cc
  /** Returns what follows cuDNN's plan in the step: the pool, or bias and ReLU of the plain form.
   */
  [[nodiscard]] std::optional<Launch> afterConvolution(const Conv2d& op, Form form) const;
  /** A kernel with a thread for each vector of its output. */
  [[nodiscard]] static Launch perVector(const std::string& name, const std::string& file,
                                        const std::string& kernel, size_t readBytes,
                                        const Buffer& output, double operations = 0);
  /** A kernel that moves tiles between the API's layout and channels last. */
  [[nodiscard]] static Launch transpose(const std::string& name, const std::string& kernel,
                                        const Buffer& buffer, int64_t channels, size_t bytes);
  [[nodiscard]] const Buffer& buffer(int value) const { return choices_.buffers[value]; }
  /** Bytes of a value in the API's layout. */
  [[nodiscard]] size_t apiBytes(int value) const;
  /** Additions and multiplications by the definition. */
  [[nodiscard]] double multiplyAddsOf(const Conv2d& op) const;
  /** Returns the name of the layer that a parameter belongs to. */
  [[nodiscard]] std::string layerOf(int parameter) const;
  static size_t bytesOf(const Buffer& buffer);
  static double elementsOf(const Buffer& buffer);
  static std::string typed(const std::string& kernel, Type type) {
    return kernel + "_" + suffixOf(type);
  }

  const Program& program_;
  const std::vector<ParameterSpec>& specs_;
  Precision precision_;
  int64_t batch_;
  const Choices& choices_;
  std::optional<Form> wanted_;
};

/** Returns the launches of a forward of a recorded program. Throws Error kOutOfMemory,
 * kUnsupported. */
std::vector<Launch> launchesOf(const Program& program, const std::vector<ParameterSpec>& specs,
                               Precision precision, int64_t batch, std::optional<Form> wanted);

}  // namespace vgg::cuda
