// Searches for cuDNN's fastest plan that computes a convolution right on this GPU. The plan is kept
// on disk.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cuda/ops/conv2d/convolution_check.h"
#include "cuda/plan/candidates.h"
#include "cuda/stopwatch.h"

namespace vgg::cuda {

/** The forms that a convolution can take, and what else its step does. */
struct ConvolutionCandidates {
  Forms forms;
  bool isPooled;                    // whether our pool follows in the step
  std::function<Step(Form)> after;  // makes what follows the plan in the step, or null
  std::function<ConvolutionBuffers(const Run&)> buffers;
};

/** Searches for one convolution. Only the device's thread uses it. */
class ConvolutionSearch {
 public:
  ConvolutionSearch(const Shared& shared, Stopwatch& stopwatch, Precision precision,
                    ConvolutionCandidates candidates);

  /** The key of a choice for this convolution, this GPU and these libraries in a cache. */
  [[nodiscard]] const std::string& key() const { return key_; }
  /** Returns whether our own kernel computes right numbers on this GPU, or nothing if memory is too
   * short to say. Throws Error kDeviceLost. */
  std::optional<bool> isRight(const DirectConvolution& direct, const ConvolutionBuffers& buffers);
  /** Returns the plan from the cache, or else the fastest right one. A deterministic device takes
   * the first right one instead. Throws Error kUnsupported, kOutOfMemory, kDeviceLost. */
  Plan choosePlan();
  /** Returns a step that executes the plan and what follows it. */
  [[nodiscard]] Step stepOf(const std::shared_ptr<const Plan>& plan) const;

 private:
  std::optional<Plan> knownPlan();
  std::optional<Plan> firstPlan();
  std::optional<Plan> fastestPlan();
  template <typename Visit>
  void forEachPlan(const Visit& visit);
  void tryOut(const Plan& plan);
  void checkPlan(const Plan& plan);
  void refuse(const Error& error);

  Shared shared_;
  Context& context_;
  Stopwatch& stopwatch_;
  Precision precision_;
  ConvolutionCandidates candidates_;
  std::string problem_, key_;
  std::unique_ptr<ConvolutionCheck> check_;  // made when a plan is first checked
  std::string refusals_;                     // why plans were refused
  Code code_ = Code::kUnsupported;
};

}  // namespace vgg::cuda
