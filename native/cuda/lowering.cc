#include "cuda/lowering.h"

#include <algorithm>

namespace vgg::cuda {

Lowering::Lowering(const Shared& shared, const FoldedProgram& folded, CudaParameters& parameters,
                   int64_t batch)
    : shared_(shared),
      context_(shared.context),
      folded_(folded),
      program_(folded.program),
      parameters_(parameters),
      batch_(batch),
      launch_(shared.launcher()),
      choices_(choose(program_, parameters.specs(), parameters.precision(), batch)),
      launches_(program_, parameters.specs(), parameters.precision(), batch, choices_) {}

void Lowering::checkFirstLayers() {
  if (areFirstLayersRight()) return;
  choices_ = choose(program_, parameters_.specs(), parameters_.precision(), batch_, false);
}

Lowered Lowering::lower(Stopwatch& stopwatch) {
  stopwatch_ = &stopwatch;
  std::vector<LabelledStep>& steps = lowered_.steps;
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (!choices_.isUnplaced[value]) steps.push_back({{StepRole::kInput, value}, prepareInput(i)});
  }
  for (const Op& op : program_.ops) {
    if (choices_.isPartOfAnotherStep(op)) continue;
    context_.throwIfInterrupted();
    steps.push_back({{StepRole::kOperation, choices_.lastValueOf(op)},
                     std::visit([this](const auto& o) { return prepare(o); }, op)});
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    if (Step step = prepareOutput(i))
      steps.push_back({{StepRole::kOutput, program_.outputs[i]}, std::move(step)});
  }
  return std::move(lowered_);
}

size_t Lowering::inputIndex(int value) const {
  const auto at = std::find(program_.inputs.begin(), program_.inputs.end(), value);
  if (at == program_.inputs.end())
    throw Error(Code::kInternal, "Expected an image to be an input of the graph");
  return static_cast<size_t>(at - program_.inputs.begin());
}

CUdeviceptr Lowering::constants(std::vector<float> values) {
  const size_t bytes = values.size() * sizeof(float);
  auto memory = std::make_unique<DeviceMemory>(context_, bytes, shared_.activationBytes);
  context_.call(context_.api().cuMemcpyHtoDAsync_v2, memory->address(), values.data(), bytes,
                context_.compute());
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
  return lowered_.constants.emplace_back(std::move(memory))->address();
}

void Lowering::needWorkspace(size_t bytes) {
  lowered_.workspaceBytes = std::max(lowered_.workspaceBytes, bytes);
}

}  // namespace vgg::cuda
