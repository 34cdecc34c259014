// Convolutions by cuDNN, each in the form and with the engine that measured fastest on this GPU, of
// those that compute rightly, or by our own kernel where that is faster still; the choice is kept
// on disk.
#include <algorithm>
#include <chrono>

#include "cuda/executable.h"
#include "cuda/ops/conv2d/convolution_check.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {
namespace {

// Per form: cuDNN lists the best first by its own estimate, and near-twins of one engine beside
// each other.
constexpr size_t kEngines = 16;
constexpr size_t kEnginesAtLeast = 8;  // that are timed, however long it takes
constexpr double kSecondsPerForm = 0.5;

constexpr const char* kDirectText = "direct";
constexpr const char* kPlanText = "plan";

}  // namespace

struct CudaExecutable::Candidates {
  Forms forms;
  bool isPooled;
  std::function<Step(Form)> after;  // what follows the plan in the step; null where nothing does
  std::function<ConvolutionBuffers(const Run&)> buffers;
};

/** What a choice for a convolution on this GPU is called on disk. */
std::string CudaExecutable::keyOf(const Candidates& candidates) const {
  return context_.identity() + " " + problemOf(candidates);
}

std::string CudaExecutable::problemOf(const Candidates& candidates) const {
  return planKey(candidates.forms.problem, parameters_->precision(), candidates.isPooled);
}

/** Whether our own kernel computes rightly here; nothing if memory is too short to say. */
std::optional<bool> CudaExecutable::isRight(const Candidates& candidates,
                                            const DirectConvolution& direct,
                                            const ConvolutionBuffers& buffers) {
  return shared_.kernels.isRight("direct " + problemOf(candidates), [&] {
    const ConvolutionCheck check(context_, candidates.forms.problem, buffers.input);
    return check.passes(direct, buffers, candidates.isPooled);
  });
}

Step CudaExecutable::prepare(const Conv2d& op) {
  if (const auto& layer = choices_.firstLayers[op.output]) return prepareFirstLayer(op, *layer);

  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d* maxPool = choices_.pooledBy[op.output];
  const Buffer made = maxPool == nullptr ? output : buffer(maxPool->output);
  const Filter& filter = parameters_->filter(op, folded_.norms[op.output]);
  const CUdeviceptr weight = filter.weight->address();
  const CUdeviceptr bias = filter.bias->address();
  const CUdeviceptr typedBias = filter.typedBias->address();
  const bool relu = op.relu;

  Candidates candidates{
      formsOf(op, choices_, parameters_->specs(), parameters_->precision(), shared_.forced.form),
      maxPool != nullptr,
      {},
      {}};
  candidates.after = [=, this](Form form) -> Step {
    const CUdeviceptr added = form == Form::kPlain ? bias : 0;
    // max(x) + b = max(x + b), and ReLU is monotone: the pool does both on what it has read anyway.
    if (maxPool != nullptr) return maxPoolStep(*maxPool, added, form == Form::kPlain && relu);
    return form == Form::kPlain ? affineStep(output, output, 0, added, relu) : nullptr;
  };
  candidates.buffers = [=](const Run& run) -> ConvolutionBuffers {
    return {address(run, input), weight, typedBias, address(run, output), run.workspace};
  };

  const DirectConvolution direct = prepareDirect(op);
  const auto directBuffers = [=](const Run& run) -> ConvolutionBuffers {
    return {address(run, input), weight, bias, address(run, made), 0};
  };
  Step directStep = [=](const Run& run) { direct(directBuffers(run)); };
  const bool isWanted = shared_.forced.form == ForcedForm::kDirect;
  // What the cache keeps of the choice between it and cuDNN's best.
  const std::string key = keyOf(candidates) + " direct " + kernelsText("convolution.cu");
  const auto known = direct && !isWanted ? shared_.cache.read(key) : std::nullopt;
  const bool isCandidate = direct && known != kPlanText;
  const std::optional<bool> isDirectRight =
      isCandidate ? isRight(candidates, direct, directBuffers(stopwatch_->trial())) : false;
  if (isDirectRight == true && (isWanted || known == kDirectText)) return directStep;

  const auto plan = std::make_shared<const Plan>(choosePlan(candidates));
  const Step after = candidates.after(plan->form());
  Step planStep = [this, plan, after, buffers = candidates.buffers](const Run& run) {
    plan->execute(context_.cudnn(), buffers(run));
    if (after) after(run);
  };
  if (isCandidate && !isWanted && isDirectRight) {
    bool isFaster = *isDirectRight;
    if (isFaster) {
      const std::optional<double> own = stopwatch_->timeOf(directStep, 0);
      const std::optional<double> other = stopwatch_->timeOf(planStep, plan->workspaceBytes());
      isFaster = own && (!other || *own < *other);
    }
    shared_.cache.write(key, isFaster ? kDirectText : kPlanText);
    if (isFaster) return directStep;
  }
  needWorkspace(plan->workspaceBytes());
  return planStep;
}

/** The choice for one convolution: what it is called on disk, what checks a plan, and why others
 * were refused. */
struct CudaExecutable::Search {
  const Candidates& candidates;
  std::string problem, key;
  std::optional<ConvolutionCheck> check{};  // made when a plan is first checked
  std::string refusals{};
  Code code = Code::kUnsupported;

  void refuse(const Error& error) {
    if (error.code() == Code::kDeviceLost) throw Error(error);
    if (error.code() == Code::kOutOfMemory) code = Code::kOutOfMemory;
    refusals += std::string("; ") + error.what();
  }
};

/** Runs a plan: an engine may fail only then. Throws Error. */
void CudaExecutable::tryOut(const Search& search, const Plan& plan) {
  const DeviceMemory scratch(context_, plan.workspaceBytes(), nullptr);
  plan.execute(context_.cudnn(), search.candidates.buffers(stopwatch_->trial(&scratch)));
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
}

/** Runs a plan, whose numbers must be right. Throws Error. */
void CudaExecutable::checkPlan(Search& search, const Plan& plan) {
  const DeviceMemory scratch(context_, plan.workspaceBytes(), nullptr);
  const ConvolutionBuffers buffers = search.candidates.buffers(stopwatch_->trial(&scratch));
  if (!search.check) search.check.emplace(context_, search.candidates.forms.problem, buffers.input);
  if (search.check->passes(plan, buffers)) return;
  throw Error(Code::kUnsupported, std::string("an engine of the ") + nameOf(plan.form()) +
                                      " form computes wrong numbers");
}

/** What was measured here; else what `vgg plan` chose for this kind of GPU, which never ran. */
std::optional<Plan> CudaExecutable::knownPlan(Search& search) {
  const Target target{context_.cudnn(), nullptr};
  const std::string planned = plannedKey(context_.gpu().name, context_.libraries(), search.problem);
  for (const std::string& known : {search.key, planned}) {
    const auto cached = shared_.cache.read(known);
    if (!cached) continue;
    auto plan = parsePlan(context_, target, *cached);
    if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
    try {
      known == search.key ? tryOut(search, *plan) : checkPlan(search, *plan);
      return plan;
    } catch (const Error& error) {
      search.refuse(error);
    }
  }
  return std::nullopt;
}

/** Calls visit(plan) for the engines of each form, best first by cuDNN's estimate, until it returns
 * true or has had enough of the form. What it throws refuses the plan. */
template <typename Visit>
void CudaExecutable::forEachPlan(Search& search, const Visit& visit) {
  const Forms& forms = search.candidates.forms;
  const Target target{context_.cudnn(), nullptr};
  for (const Form form : forms.forms) {
    try {
      const ConvolutionGraph graph(context_, target, forms.problem, form);
      size_t visited = 0;
      const auto begin = std::chrono::steady_clock::now();
      for (Engine& engine :
           allowedEngines(graph, parameters_->precision(), shared_.deterministic)) {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
        const bool isEnough = visited >= kEnginesAtLeast && spent.count() > kSecondsPerForm;
        if (visited == kEngines || isEnough) break;
        context_.throwIfInterrupted();
        try {
          std::optional<Plan> plan = graph.plan(std::move(engine));
          if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
          ++visited;
          if (visit(*plan)) return;
        } catch (const Error& error) {
          search.refuse(error);
        }
      }
    } catch (const Error& error) {
      search.refuse(error);
    }
  }
}

/** The first that computes rightly, the same in each process. */
std::optional<Plan> CudaExecutable::firstPlan(Search& search) {
  std::optional<Plan> first;
  forEachPlan(search, [&](Plan& plan) {
    checkPlan(search, plan);
    first = std::move(plan);
    return true;
  });
  return first;
}

/** The fastest that computes rightly, with what follows it in the step. */
std::optional<Plan> CudaExecutable::fastestPlan(Search& search) {
  struct Timed {
    double milliseconds;
    Plan plan;
  };
  std::vector<Timed> timed;
  {
    std::unique_ptr<DeviceMemory> scratch;
    forEachPlan(search, [&](Plan& plan) {
      if (scratch == nullptr || scratch->bytes() < plan.workspaceBytes()) {
        scratch = nullptr;
        scratch = std::make_unique<DeviceMemory>(context_, plan.workspaceBytes(), nullptr);
      }
      const Step after = search.candidates.after(plan.form());
      const Run run = stopwatch_->trial(scratch.get());
      const double time = stopwatch_->measure([&, buffers = search.candidates.buffers(run)] {
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
      checkPlan(search, fastest.plan);
      return std::move(fastest.plan);
    } catch (const Error& error) {
      search.refuse(error);
    }
  }
  return std::nullopt;
}

Plan CudaExecutable::choosePlan(const Candidates& candidates) {
  Search search{candidates, problemOf(candidates), keyOf(candidates)};
  const bool isKept = !shared_.deterministic && !candidates.forms.isForced;
  std::optional<Plan> plan;
  if (isKept) plan = knownPlan(search);
  if (plan) return *std::move(plan);
  plan = shared_.deterministic ? firstPlan(search) : fastestPlan(search);
  if (!plan) {
    const Convolution& convolution = candidates.forms.problem;
    throw Error(search.code, "cuDNN has no engine for a convolution of " +
                                 std::to_string(convolution.channels) + " to " +
                                 std::to_string(convolution.filters) + " channels in " +
                                 precisionName(parameters_->precision()) + " on " +
                                 context_.gpu().name + search.refusals);
  }
  if (isKept) shared_.cache.write(search.key, planText(*plan));
  return *std::move(plan);
}

}  // namespace vgg::cuda
