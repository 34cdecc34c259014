#include "cuda/executable.h"

#include <algorithm>

#include "core/fold.h"

namespace vgg::cuda {
namespace {

/** Runs that may be under way at once: enough to upload the next ones while one computes, and no
 * more memory than that needs. */
size_t slotCount(size_t bytes) {
  return std::clamp<size_t>((size_t{64} << 20) / std::max<size_t>(bytes, 1), 2, 4);
}

}  // namespace

size_t CudaExecutable::byteCount(int value, size_t images) const {
  const Value& v = program_.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), images);
}

CudaExecutable::CudaExecutable(const Program& program, std::shared_ptr<CudaParameters> parameters,
                               size_t batch, const Shared& shared)
    : shared_(shared),
      context_(shared.context),
      folded_(foldBatchNorm(program)),
      program_(folded_.program),
      parameters_(std::move(parameters)),
      batch_(static_cast<int64_t>(batch)),
      choices_(cuda::choose(program_, parameters_->specs(), parameters_->precision(), batch_)),
      used_(parametersOf(folded_)) {
  try {
    prepareAll();
  } catch (...) {
    // What was started uses memory that is about to be freed.
    if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
    throw;
  }
}

void CudaExecutable::prepareAll() {
  context_.enter();
  // Without it the layer runs as any other.
  if (!areFirstLayersRight()) {
    choices_ =
        cuda::choose(program_, parameters_->specs(), parameters_->precision(), batch_, false);
  }
  lease_.emplace(shared_.arena, choices_.activationBytes);
  makeSlots();
  Run trial = runOf(*slots_.front(), 0);
  stopwatch_ = std::make_unique<Stopwatch>(shared_, program_, batch_, std::move(trial.inputs),
                                           std::move(trial.outputs));
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (!choices_.isExternal[value]) steps_.push_back({{StepRole::kInput, value}, prepareInput(i)});
  }
  for (const Op& op : program_.ops) {
    if (choices_.isMergedAway(op)) continue;
    context_.throwIfInterrupted();
    steps_.push_back({{StepRole::kOperation, choices_.madeBy(op)},
                      std::visit([this](const auto& o) { return prepare(o); }, op)});
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    if (Step step = prepareOutput(i))
      steps_.push_back({{StepRole::kOutput, program_.outputs[i]}, std::move(step)});
  }
  lease_.reset();
  lease_.emplace(shared_.arena, choices_.activationBytes + workspaceBytes_);
  // Libraries load what they need at the first execution, which a capture would not survive.
  runSteps(runOf(*slots_.front(), workspace()));
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
  for (const auto& slot : slots_) captureSteps(*slot);
}

void CudaExecutable::captureSteps(Slot& slot) {
  slot.graph = capture(context_, [this, run = runOf(slot, workspace())] { runSteps(run); });
  slot.generation = shared_.arena.generation();
}

CudaExecutable::~CudaExecutable() {
  // A run that failed on its way may have left work behind that uses what is freed now.
  if (!context_.isLost()) context_.api().cuStreamSynchronize(context_.compute());
}

void CudaExecutable::makeSlots() {
  const auto batch = static_cast<size_t>(batch_);
  size_t bytes = 0;
  for (const int value : program_.inputs) bytes += byteCount(value, batch);
  for (const int value : program_.outputs) bytes += byteCount(value, batch);
  for (size_t i = 0; i < slotCount(bytes); ++i) {
    auto slot = std::make_unique<Slot>();
    for (const int value : program_.inputs) {
      const size_t size = byteCount(value, batch);
      slot->inputs.push_back(
          std::make_unique<DeviceMemory>(context_, size, shared_.activationBytes));
      // Images beyond a smaller batch are computed too.
      context_.call(context_.api().cuMemsetD8Async, slot->inputs.back()->address(), 0,
                    std::max<size_t>(size, 1), context_.compute());
    }
    for (const int value : program_.outputs) {
      slot->outputs.push_back(std::make_unique<DeviceMemory>(context_, byteCount(value, batch),
                                                             shared_.activationBytes));
    }
    slot->uploaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->computed = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
    slot->downloaded = context_.makeEvent(CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC);
    slots_.push_back(std::move(slot));
  }
}

Run CudaExecutable::runOf(const Slot& slot, CUdeviceptr workspace) {
  Run run{shared_.arena.address(), workspace, {}, {}};
  for (const auto& memory : slot.inputs) run.inputs.push_back(memory->address());
  for (const auto& memory : slot.outputs) run.outputs.push_back(memory->address());
  return run;
}

void CudaExecutable::runSteps(const Run& run) {
  for (const LabelledStep& step : steps_) step.function(run);
}

size_t CudaExecutable::inputIndex(int value) const {
  const auto at = std::find(program_.inputs.begin(), program_.inputs.end(), value);
  if (at == program_.inputs.end())
    throw Error(Code::kInternal, "Expected an image to be an input of the graph");
  return static_cast<size_t>(at - program_.inputs.begin());
}

CUdeviceptr CudaExecutable::workspace() {
  return shared_.arena.address() + choices_.activationBytes;
}

void CudaExecutable::needWorkspace(size_t bytes) {
  workspaceBytes_ = std::max(workspaceBytes_, bytes);
}

CUfunction CudaExecutable::kernel(const std::string& file, const std::string& name, Type type) {
  return shared_.kernels.function(file, name + "_" + suffixOf(type));
}

CUdeviceptr CudaExecutable::constants(std::vector<float> values) {
  const size_t bytes = values.size() * sizeof(float);
  auto memory = std::make_unique<DeviceMemory>(context_, bytes, shared_.activationBytes);
  context_.call(context_.api().cuMemcpyHtoDAsync_v2, memory->address(), values.data(), bytes,
                context_.compute());
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
  return constants_.emplace_back(std::move(memory))->address();
}

}  // namespace vgg::cuda
