#include "cuda/plan/planning.h"

#include <string_view>

#include "core/fold.h"
#include "cuda/nvidia/kernel_sources.h"
#include "cuda/nvidia/nvrtc.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {
namespace {

/** Throws the Error of the first library that is missing. */
void require(std::initializer_list<const Library*> libraries) {
  for (const Library* library : libraries) {
    if (!library->problem.empty())
      throw Error(library->code, library->name + ": " + library->problem);
  }
}

class Planner {
 public:
  Planner(const NamedGpu& gpu, const PlanOptions& options, const DiskCache& cache)
      : session_(loadLibraries()), gpu_(gpu), options_(options), cache_(cache) {
    const Libraries& libraries = session_.libraries();
    // cuBLASLt is required too: cuDNN ends the process if it cannot load it.
    require({&libraries.cudnn, &libraries.cublasLt});
    if (libraries.cudnnVersion < 91001)
      throw Error(Code::kUnsupported,
                  "Plans for a GPU that is not here need cuDNN 9.10.1 or newer, and this is " +
                      libraries.cudnn.version);
    // For a GPU of compute capability 10, cuDNN 9.10.2 ends the process in
    // EngineInterface::isSupported.
    if (gpu.capability / 10 == 10 && libraries.cudnnVersion < 91100)
      throw Error(Code::kUnsupported, "Plans for " + gpu.name +
                                          " need cuDNN 9.11 or newer, and this is " +
                                          libraries.cudnn.version);
    device_ = Descriptor(session_, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    device_.setText(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, gpu.description);
    device_.finalize();
  }

  PlannedConvolution plan(const Convolution& problem, Form form, bool isPooled, bool isKept) {
    PlannedConvolution row{};
    row.problem = planKey(problem, options_.precision, isPooled);
    row.batch = problem.batch;
    row.form = form;
    const Target target{nullptr, device_.get()};
    try {
      const ConvolutionGraph graph(session_, target, problem, form);
      for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
        row.offered += graph.engines(mode).size();
      std::vector<Engine> engines = allowedEngines(graph, options_.precision, false);
      row.allowed = engines.size();
      for (Engine& engine : engines) {
        if (row.plans == options_.limit) break;
        const int64_t index = engine.index;
        const bool isCompiled = engine.isCompiledAtRunTime();
        const std::optional<Plan> plan = graph.plan(std::move(engine));
        if (!plan) continue;
        if (plan->workspaceBytes() > kWorkspaceLimit) {
          ++row.tooLarge;
          continue;
        }
        if (row.plans++ == 0) {
          row.workspaceBytes = plan->workspaceBytes();
          row.engine = index;
          if (isKept) {
            const std::string text = planText(*plan);
            if (!parsePlan(session_, target, text))
              throw Error(Code::kInternal,
                          "cuDNN does not take back its own plan for " + row.problem);
            cache_.write(plannedKey(gpu_.name, session_.libraries(), row.problem), text);
          }
        }
        if (isCompiled) ++row.compiled;
      }
      if (row.plans == 0)
        row.refusal =
            row.tooLarge == 0 ? "no engine became a plan" : "every plan wants too much workspace";
    } catch (const Error& error) {
      if (error.code() != Code::kUnsupported) throw;
      row.refusal = error.what();
    }
    return row;
  }

 private:
  Session session_;
  const NamedGpu& gpu_;
  const PlanOptions& options_;
  const DiskCache& cache_;
  Descriptor device_;
};

}  // namespace

std::vector<PlannedConvolution> planConvolutions(const NamedGpu& gpu, const Program& program,
                                                 const std::vector<ParameterSpec>& specs,
                                                 const PlanOptions& options,
                                                 const DiskCache& cache) {
  Planner planner(gpu, options, cache);
  const Program folded = foldBatchNorm(program).program;
  const Choices choices = choose(folded, specs, options.precision, options.batch);
  std::vector<PlannedConvolution> rows;
  for (const Op& op : folded.ops) {
    const auto* conv = std::get_if<Conv2d>(&op);
    if (conv == nullptr) continue;
    const Forms forms = formsOf(*conv, choices, specs, options.precision);
    const bool isFirstLayer = choices.firstLayers[conv->output].has_value();
    for (const Form form : forms.forms) {
      const bool isKept = form == forms.forms.front() && !isFirstLayer;
      rows.push_back(
          planner.plan(forms.problem, form, choices.pooledBy[conv->output] != nullptr, isKept));
      rows.back().weight = specs[conv->weight].name;
      rows.back().isFirstLayer = isFirstLayer;
    }
  }
  return rows;
}

std::vector<CompiledFile> compileKernels(int capability, const DiskCache& cache) {
  const auto libraries = loadLibraries();
  require({&libraries->nvrtc});
  std::vector<CompiledFile> rows;
  for (const KernelSource& source : kernelSources()) {
    if (!std::string_view(source.name).ends_with(".cu")) continue;
    const CompiledKernels compiled = compileKernels(*libraries, source.name, capability, true);
    cache.write(kernelsKey(*libraries, source.name, capability), compiled.image);
    rows.push_back({source.name, compiled.image.size(), compiled.log});
  }
  return rows;
}

}  // namespace vgg::cuda
