// Writes convolutions for cuDNN: the operation graph of each form, the engines that cuDNN offers
// for it, and the execution plans that are made from these.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/precision.h"
#include "cuda/nvidia/descriptor.h"

namespace vgg::cuda {

/** The operations after a convolution that are in its graph. */
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

/** The GPU that plans are made for: the handle's, or one that a finalised DEVICEPROP descriptor
 * describes. */
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

/** Bytes. Plans that need a larger workspace are skipped. */
constexpr size_t kWorkspaceLimit = size_t{256} << 20;

/** Addresses on the device; `bias` is 0 for the plain form. */
struct ConvolutionBuffers {
  CUdeviceptr input, filter, bias, output, workspace;
};

/** What a plan was made from. cuDNN needs it for as long as the plan lives. */
struct PlanSource {
  std::shared_ptr<const std::vector<Descriptor>> graph;
  Descriptor configuration;
};

/** Enqueues a convolution with bias, ReLU and pool that our own kernel computes. */
using DirectConvolution = std::function<void(const ConvolutionBuffers&)>;

class Plan {
 public:
  Plan(Session& session, Descriptor plan, Form form, PlanSource source = {});
  /** Makes a plan from the text of Plan::json. Returns nothing if the text is not from this version
   * of cuDNN and a GPU of this architecture. */
  static std::optional<Plan> parse(Session& session, const Target& target, Form form,
                                   const std::string& json);

  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] size_t workspaceBytes() const { return workspaceBytes_; }
  [[nodiscard]] std::string json() const;
  /** Enqueues the plan on the handle's stream. */
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
  /** Throws Error kUnsupported if cuDNN refuses the graph. */
  ConvolutionGraph(Session& session, const Target& target, const Convolution& convolution,
                   Form form);

  /** Returns the engines, the best by cuDNN's own estimate first. There may be no engine. */
  [[nodiscard]] std::vector<Engine> engines(cudnnBackendHeurMode_t mode) const;
  /** Returns nothing if the engine turns out not to support the graph. */
  [[nodiscard]] std::optional<Plan> plan(Engine engine) const;

 private:
  Session& session_;
  Target target_;
  Form form_;
  // All that the graph refers to, then the graph.
  std::shared_ptr<std::vector<Descriptor>> descriptors_;
  [[nodiscard]] const Descriptor& graph() const { return descriptors_->back(); }
};

// A cache entry of a convolution holds the form and the plan. Its key names the problem and the
// GPU.

/** `isPooled`: our pool follows in the same step and is timed with the convolution. */
std::string planKey(const Convolution& convolution, Precision precision, bool isPooled);
/** The key of plans that were made ahead of time for GPUs of this name, with any driver. */
std::string plannedKey(const std::string& gpuName, const Libraries& libraries,
                       const std::string& problem);
std::string planText(const Plan& plan);
/** Returns nothing if the text is not from this version of cuDNN or not for this GPU. */
std::optional<Plan> parsePlan(Session& session, const Target& target, const std::string& text);

/** Returns the engines that the precision allows: first the heuristics' engines, then cuDNN's
 * fallback. In strict float32 all engines of the heuristics may need gigabytes of workspace. */
std::vector<Engine> allowedEngines(const ConvolutionGraph& graph, Precision precision,
                                   bool deterministic);

}  // namespace vgg::cuda
