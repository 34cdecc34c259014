#include "cuda/ops/conv2d/convolution_search.h"

#include <algorithm>
#include <chrono>

namespace vgg::cuda {
namespace {

// Limits of the search in one form. cuDNN lists the engines best first by its own estimate, and
// near-twins beside each other.
constexpr size_t kMaxEngines = 16;
constexpr size_t kMinEngines = 8;  // engines that are timed, however long it takes
constexpr double kMaxSeconds = 0.5;

}  // namespace

ConvolutionSearch::ConvolutionSearch(const Shared& shared, Stopwatch& stopwatch,
                                     Precision precision, ConvolutionCandidates candidates)
    : shared_(shared),
      context_(shared.context),
      stopwatch_(stopwatch),
      precision_(precision),
      candidates_(std::move(candidates)),
      problem_(planKey(candidates_.forms.problem, precision, candidates_.isPooled)),
      key_(context_.identity() + " " + problem_) {}

std::optional<bool> ConvolutionSearch::isRight(const DirectConvolution& direct,
                                               const ConvolutionBuffers& buffers) {
  return shared_.kernels.isRight("direct " + problem_, [&] {
    const ConvolutionCheck check(context_, candidates_.forms.problem, buffers.input);
    return check.passes(direct, buffers, candidates_.isPooled);
  });
}

Step ConvolutionSearch::stepOf(const std::shared_ptr<const Plan>& plan) const {
  return [cudnn = context_.cudnn(), plan, after = candidates_.after(plan->form()),
          buffers = candidates_.buffers](const Run& run) {
    plan->execute(cudnn, buffers(run));
    if (after) after(run);
  };
}

Plan ConvolutionSearch::choosePlan() {
  const bool isKept = !shared_.deterministic && !candidates_.forms.isForced;
  std::optional<Plan> plan;
  if (isKept) plan = knownPlan();
  if (!plan) {
    plan = shared_.deterministic ? firstPlan() : fastestPlan();
    if (!plan) {
      const Convolution& convolution = candidates_.forms.problem;
      throw Error(code_, "cuDNN has no engine for a convolution of " +
                             std::to_string(convolution.channels) + " to " +
                             std::to_string(convolution.filters) + " channels in " +
                             precisionName(precision_) + " on " + context_.gpu().name + refusals_);
    }
    if (isKept) shared_.cache.write(key_, planText(*plan));
  }
  check_.reset();  // what comes next may need its memory
  return *std::move(plan);
}

/** Returns the plan that was measured here, or else the one that `vgg plan` chose for GPUs of this
 * name. The latter has never run. */
std::optional<Plan> ConvolutionSearch::knownPlan() {
  const Target target{context_.cudnn(), nullptr};
  const std::string planned = plannedKey(context_.gpu().name, context_.libraries(), problem_);
  for (const std::string& known : {key_, planned}) {
    const auto cached = shared_.cache.read(known);
    if (!cached) continue;
    auto plan = parsePlan(context_, target, *cached);
    if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
    try {
      known == key_ ? tryOut(*plan) : checkPlan(*plan);
      return plan;
    } catch (const Error& error) {
      refuse(error);
    }
  }
  return std::nullopt;
}

/** Returns the first plan that computes right numbers. It is the same in each process. */
std::optional<Plan> ConvolutionSearch::firstPlan() {
  std::optional<Plan> first;
  forEachPlan([&](Plan& plan) {
    checkPlan(plan);
    first = std::move(plan);
    return true;
  });
  return first;
}

/** Returns the plan that computes right numbers and is fastest together with what follows it in the
 * step. */
std::optional<Plan> ConvolutionSearch::fastestPlan() {
  struct Timed {
    double milliseconds;
    Plan plan;
  };
  std::vector<Timed> timed;
  {
    std::unique_ptr<DeviceMemory> scratch;
    forEachPlan([&](Plan& plan) {
      if (scratch == nullptr || scratch->bytes() < plan.workspaceBytes()) {
        scratch = nullptr;
        scratch = std::make_unique<DeviceMemory>(context_, plan.workspaceBytes(), nullptr);
      }
      const Step after = candidates_.after(plan.form());
      const Run run = stopwatch_.trial(scratch.get());
      const double time = stopwatch_.measure([&, buffers = candidates_.buffers(run)] {
        plan.execute(context_.cudnn(), buffers);
        if (after) after(run);
      });
      timed.push_back({time, std::move(plan)});
      return false;
    });
  }
  std::ranges::stable_sort(timed, {}, &Timed::milliseconds);
  for (Timed& fastest : timed) {
    try {
      checkPlan(fastest.plan);
      return std::move(fastest.plan);
    } catch (const Error& error) {
      refuse(error);
    }
  }
  return std::nullopt;
}

/** Calls visit(plan) for the engines of each form, best first by cuDNN's estimate. It ends when
 * visit returns true, and goes on to the next form at the limits above. A plan for which visit
 * throws is refused. */
template <typename Visit>
void ConvolutionSearch::forEachPlan(const Visit& visit) {
  const Forms& forms = candidates_.forms;
  const Target target{context_.cudnn(), nullptr};
  for (const Form form : forms.forms) {
    try {
      const ConvolutionGraph graph(context_, target, forms.problem, form);
      size_t visited = 0;
      const auto begin = std::chrono::steady_clock::now();
      for (Engine& engine : allowedEngines(graph, precision_, shared_.deterministic)) {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
        const bool isEnough = visited >= kMinEngines && spent.count() > kMaxSeconds;
        if (visited == kMaxEngines || isEnough) break;
        context_.throwIfInterrupted();
        try {
          std::optional<Plan> plan = graph.plan(std::move(engine));
          if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
          ++visited;
          if (visit(*plan)) return;
        } catch (const Error& error) {
          refuse(error);
        }
      }
    } catch (const Error& error) {
      refuse(error);
    }
  }
}

/** Runs a plan, because an engine may fail only then. Throws Error. */
void ConvolutionSearch::tryOut(const Plan& plan) {
  const DeviceMemory scratch(context_, plan.workspaceBytes(), nullptr);
  plan.execute(context_.cudnn(), candidates_.buffers(stopwatch_.trial(&scratch)));
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
}

/** Runs a plan on known numbers. Throws Error if it fails or computes wrong numbers. */
void ConvolutionSearch::checkPlan(const Plan& plan) {
  const DeviceMemory scratch(context_, plan.workspaceBytes(), nullptr);
  const ConvolutionBuffers buffers = candidates_.buffers(stopwatch_.trial(&scratch));
  if (check_ == nullptr) {
    check_ = std::make_unique<ConvolutionCheck>(context_, candidates_.forms.problem, buffers.input);
  }
  if (check_->passes(plan, buffers)) return;
  throw Error(Code::kUnsupported, std::string("an engine of the ") + nameOf(plan.form()) +
                                      " form computes wrong numbers");
}

/** Notes why a plan is not used. Throws Error kDeviceLost. */
void ConvolutionSearch::refuse(const Error& error) {
  if (error.code() == Code::kDeviceLost) throw Error(error);
  if (error.code() == Code::kOutOfMemory) code_ = Code::kOutOfMemory;
  refusals_ += std::string("; ") + error.what();
}

}  // namespace vgg::cuda
