// Convolutions by cuDNN, each in the form and with the engine that measured fastest on this GPU, of
// those that compute rightly; the choice is kept on disk.
#include <algorithm>
#include <chrono>

#include "cuda/convolution_check.h"
#include "cuda/executable.h"

namespace vgg::cuda {
namespace {

// Per form: cuDNN lists the best first by its own estimate, and near-twins of one engine beside
// each other.
constexpr size_t kEngines = 16;
constexpr size_t kEnginesAtLeast = 8;  // that are timed, however long it takes
constexpr double kSecondsPerForm = 0.5;

}  // namespace

struct CudaExecutable::Candidates {
  Forms forms;
  bool isPooled;
  std::function<Step(Form)> after;  // what follows the plan in the step; null where nothing does
  std::function<ConvolutionBuffers(const Run&)> buffers;
};

Step CudaExecutable::prepare(const Conv2d& op) {
  use(op.weight);
  use(op.bias);
  if (op.batchNorm) {
    for (const int index :
         {op.batchNorm->weight, op.batchNorm->bias, op.batchNorm->mean, op.batchNorm->variance})
      use(index);
  }
  if (const auto& layer = choices_.firstLayers[op.output]) return prepareFirstLayer(op, *layer);
  if (Step direct = prepareDirect(op)) return direct;

  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d* maxPool = choices_.pooledBy[op.output];
  const Filter& filter = parameters_->filter(op);
  const CUdeviceptr weight = filter.weight->address();
  const CUdeviceptr bias = filter.bias->address();
  const CUdeviceptr typedBias = filter.typedBias->address();
  const bool relu = op.relu;

  Candidates candidates{formsOf(op, choices_, parameters_->specs(), parameters_->precision()),
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

  const auto plan = std::make_shared<const Plan>(choosePlan(candidates));
  needWorkspace(plan->workspaceBytes());
  const Step after = candidates.after(plan->form());
  return [this, plan, after, buffers = candidates.buffers](const Run& run) {
    plan->execute(context_.cudnn(), buffers(run));
    if (after) after(run);
  };
}

/** Runs a plan: an engine may fail only then. Its numbers must pass `check`, if that is given.
 * Throws Error. */
void CudaExecutable::tryOut(const Candidates& candidates, const Plan& plan,
                            const ConvolutionCheck* check) {
  const DeviceMemory scratch(context_, plan.workspaceBytes(), nullptr);
  const ConvolutionBuffers buffers = candidates.buffers(trial(&scratch));
  if (check == nullptr) {
    plan.execute(context_.cudnn(), buffers);
    context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  } else if (!check->passes(plan, buffers)) {
    throw Error(Code::kUnsupported, std::string("an engine of the ") + nameOf(plan.form()) +
                                        " form computes wrong numbers");
  }
}

Plan CudaExecutable::choosePlan(const Candidates& candidates) {
  const Convolution& convolution = candidates.forms.problem;
  const Precision precision = parameters_->precision();
  const Target target{context_.cudnn(), nullptr};
  const std::string problem = planKey(convolution, precision, candidates.isPooled);
  const std::string key = context_.identity() + " " + problem;
  std::optional<ConvolutionCheck> made;
  const auto check = [&] {
    if (!made) made.emplace(context_, convolution, candidates.buffers(trial()).input);
    return &*made;
  };
  std::string refusals;
  Code code = Code::kUnsupported;
  const auto refuse = [&](const Error& error) {
    if (error.code() == Code::kDeviceLost) throw Error(error);
    if (error.code() == Code::kOutOfMemory) code = Code::kOutOfMemory;
    refusals += std::string("; ") + error.what();
  };

  if (!shared_.deterministic && !candidates.forms.isForced) {
    // What was measured here; else what `vgg plan` chose for this kind of GPU, which never ran.
    const std::string planned = plannedKey(context_.gpu().name, context_.libraries(), problem);
    for (const std::string& known : {key, planned}) {
      const auto cached = shared_.cache.read(known);
      if (!cached) continue;
      auto plan = parsePlan(context_, target, *cached);
      if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
      try {
        tryOut(candidates, *plan, known == key ? nullptr : check());
        return *std::move(plan);
      } catch (const Error& error) {
        refuse(error);
      }
    }
  }

  struct Timed {
    double milliseconds;
    Plan plan;
  };
  std::vector<Timed> timed;
  for (const Form form : candidates.forms.forms) {
    std::unique_ptr<DeviceMemory> scratch;
    try {
      const ConvolutionGraph graph(context_, target, convolution, form);
      size_t left = kEngines;
      const auto begin = std::chrono::steady_clock::now();
      const Step after = candidates.after(form);
      for (Engine& engine : allowedEngines(graph, precision, shared_.deterministic)) {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
        const bool isEnough = kEngines - left >= kEnginesAtLeast && spent.count() > kSecondsPerForm;
        if (left == 0 || isEnough) break;
        context_.throwIfInterrupted();
        try {
          std::optional<Plan> plan = graph.plan(std::move(engine));
          if (!plan || plan->workspaceBytes() > kWorkspaceLimit) continue;
          --left;
          if (shared_.deterministic) {
            tryOut(candidates, *plan, check());
            return *std::move(plan);
          }
          if (scratch == nullptr || scratch->bytes() < plan->workspaceBytes()) {
            scratch = nullptr;
            scratch = std::make_unique<DeviceMemory>(context_, plan->workspaceBytes(), nullptr);
          }
          const Run run = trial(scratch.get());
          const double time = measure([&, buffers = candidates.buffers(run)] {
            plan->execute(context_.cudnn(), buffers);
            if (after) after(run);
          });
          timed.push_back({time, *std::move(plan)});
        } catch (const Error& error) {
          refuse(error);
        }
      }
    } catch (const Error& error) {
      refuse(error);
    }
  }
  std::ranges::stable_sort(timed, {}, &Timed::milliseconds);
  for (Timed& fastest : timed) {
    try {
      tryOut(candidates, fastest.plan, check());
    } catch (const Error& error) {
      refuse(error);
      continue;
    }
    if (!candidates.forms.isForced) shared_.cache.write(key, planText(fastest.plan));
    return std::move(fastest.plan);
  }
  throw Error(code, "cuDNN has no engine for a convolution of " +
                        std::to_string(convolution.channels) + " to " +
                        std::to_string(convolution.filters) + " channels in " +
                        precisionName(precision) + " on " + context_.gpu().name + refusals);
}

}  // namespace vgg::cuda
