// Convolutions as cuDNN sees them: the operation graph of each form, the engines offered for it,
// and the execution plans made from them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/precision.h"
#include "cuda/nvidia/descriptor.h"

namespace vgg::cuda {

/** How much of what follows a convolution is in its graph. */
enum class Form : std::uint8_t {
  kPlain,  // the convolution alone
  kFused   // + bias (+ ReLU)
};
const char* nameOf(Form form);

/** input (N, H, W, C), filter (K, R, S, C), bias (K), all of one type → output (N, H', W', K). */
struct Convolution {
  int64_t batch, channels, height, width;
  int64_t filters, filterHeight, filterWidth;
  int64_t stride, padding;
  bool relu;
  cudnnDataType_t type;

  [[nodiscard]] int64_t outputHeight() const {
    return (height + 2 * padding - filterHeight) / stride + 1;
  }
  [[nodiscard]] int64_t outputWidth() const {
    return (width + 2 * padding - filterWidth) / stride + 1;
  }
};

cudnnDataType_t cudnnType(Precision precision);

/** For which GPU plans are made: the one behind the handle, or one described by a finalised
 * DEVICEPROP descriptor. */
struct Target {
  cudnnHandle_t handle = nullptr;
  cudnnBackendDescriptor_t description = nullptr;
};

/** An engine that cuDNN offers for a graph, with its settings. */
struct Engine {
  Descriptor configuration;
  int64_t index = 0;
  std::vector<int> numericalNotes, behaviorNotes;

  [[nodiscard]] bool has(int numericalNote) const;
  [[nodiscard]] bool isCompiledAtRunTime() const;
};

/** Whether an engine computes what the precision promises. */
bool isAllowed(const Engine& engine, Precision precision, bool deterministic);

/** Plans that want more are passed over. */
constexpr size_t kWorkspaceLimit = size_t{256} << 20;

/** Addresses on the device; `bias` is 0 for the plain form. */
struct ConvolutionBuffers {
  CUdeviceptr input, filter, bias, output, workspace;
};

/** What a plan was made from: cuDNN wants it to live as long. */
struct PlanSource {
  std::shared_ptr<const std::vector<Descriptor>> graph;
  Descriptor configuration;
};

/** A convolution by a kernel of ours, with bias, ReLU and pool: enqueues it. */
using DirectConvolution = std::function<void(const ConvolutionBuffers&)>;

class Plan {
 public:
  Plan(Session& session, Descriptor plan, Form form, PlanSource source = {});
  /** From Plan::json of this cuDNN and a GPU of this architecture; nothing where it does not fit.
   */
  static std::optional<Plan> parse(Session& session, const Target& target, Form form,
                                   const std::string& json);

  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] size_t workspaceBytes() const { return workspaceBytes_; }
  [[nodiscard]] std::string json() const;
  /** On the handle's stream. */
  void execute(cudnnHandle_t handle, const ConvolutionBuffers& buffers) const;

 private:
  Session* session_;
  PlanSource source_;
  Descriptor plan_;
  Form form_;
  size_t workspaceBytes_;
};

class ConvolutionGraph {
 public:
  /** Throws Error kUnsupported where cuDNN refuses the graph. */
  ConvolutionGraph(Session& session, const Target& target, const Convolution& convolution,
                   Form form);

  /** Best first by cuDNN's own estimate; empty where there are none. */
  [[nodiscard]] std::vector<Engine> engines(cudnnBackendHeurMode_t mode) const;
  /** Nothing where the engine turns out not to support the graph. */
  [[nodiscard]] std::optional<Plan> plan(Engine engine) const;

 private:
  Session& session_;
  Target target_;
  Form form_;
  std::shared_ptr<std::vector<Descriptor>> descriptors_;  // all that the graph refers to, and it
  [[nodiscard]] const Descriptor& graph() const { return descriptors_->back(); }
};

// What a cache holds of a convolution: the form and the plan, under the problem and the GPU.

/** `isPooled`: our pool follows in the same step, and is timed along. */
std::string planKey(const Convolution& convolution, Precision precision, bool isPooled);
/** Where plans are that were made ahead of time for GPUs of this name, whatever their driver. */
std::string plannedKey(const std::string& gpuName, const Libraries& libraries,
                       const std::string& problem);
std::string planText(const Plan& plan);
/** Nothing where the text is not of this cuDNN or not for this GPU. */
std::optional<Plan> parsePlan(Session& session, const Target& target, const std::string& text);

/** The engines that the precision allows: those of the heuristics, then those that cuDNN falls back
 * to. In strict float32 the former may all want gigabytes of workspace. */
std::vector<Engine> allowedEngines(const ConvolutionGraph& graph, Precision precision,
                                   bool deterministic);

}  // namespace vgg::cuda
