// Convolutions by cuDNN, each in the form and with the engine that measured fastest on this GPU, or
// by our own kernel if that is faster. The choice is kept on disk.
#include <memory>

#include "cuda/lowering.h"

namespace vgg::cuda {
namespace {

// The cache keeps one of these texts: which of our kernel and cuDNN's best plan was faster.
constexpr const char* kDirectText = "direct";
constexpr const char* kPlanText = "plan";

}  // namespace

std::vector<Launch> Launches::of(const Conv2d& op) const {
  if (const auto& layer = choices_.firstLayers[op.output]) return {firstLayer(op, *layer)};
  const Shape& shape = specs_[op.weight].shape;
  const Buffer& input = buffer(op.input);
  const Buffer& output = buffer(op.output);
  std::vector<Launch> launches{
      {.name = layerOf(op.weight),
       .kernel = "cuDNN",
       .bytes = bytesOf(input) + bytesOf(output),
       .weightBytes = static_cast<size_t>(output.padded * shape[2] * shape[3] * input.padded) *
                      byteSize(input.type),
       .operations = multiplyAddsOf(op)}};
  const Form form = wanted_.value_or(formsOf(op, choices_, specs_, precision_).forms.front());
  if (auto after = afterConvolution(op, form)) launches.push_back(*std::move(after));
  return launches;
}

std::optional<Launch> Launches::afterConvolution(const Conv2d& op, Form form) const {
  const Buffer& output = buffer(op.output);
  const std::string name = layerOf(op.weight);
  if (const MaxPool2d* maxPool = choices_.pooledBy[op.output])
    return perVector(name + " maxPool2d", "pool", "maxPool2d", bytesOf(output),
                     buffer(maxPool->output));
  if (form != Form::kPlain) return std::nullopt;
  return affine(name + " bias", output, output, elementsOf(output));
}

double Launches::multiplyAddsOf(const Conv2d& op) const {
  const Shape& shape = specs_[op.weight].shape;
  return 2.0 * elementsOf(buffer(op.output)) * static_cast<double>(shape[1] * shape[2] * shape[3]);
}

/** Returns the forms that cuDNN may run, and what our kernels add to the step of each. */
ConvolutionCandidates Lowering::candidatesOf(const Conv2d& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d* maxPool = choices_.pooledBy[op.output];
  const Filter& filter = parameters_.filter(op, folded_.norms[op.output]);
  const CUdeviceptr weight = filter.weight->address();
  const CUdeviceptr bias = filter.bias->address();
  const CUdeviceptr typedBias = filter.typedBias->address();
  const bool relu = op.relu;
  const auto after = [=, this](Form form) -> Step {
    const CUdeviceptr added = form == Form::kPlain ? bias : 0;
    // max(x) + b = max(x + b), and ReLU is monotone, so the pool adds the bias and applies ReLU.
    if (maxPool != nullptr) return maxPoolStep(*maxPool, added, form == Form::kPlain && relu);
    return form == Form::kPlain ? affineStep(output, output, 0, added, relu) : nullptr;
  };
  const auto buffers = [=](const Run& run) -> ConvolutionBuffers {
    return {address(run, input), weight, typedBias, address(run, output), run.workspace};
  };
  return {formsOf(op, choices_, parameters_.specs(), parameters_.precision(), shared_.forced.form),
          maxPool != nullptr, after, buffers};
}

Step Lowering::prepare(const Conv2d& op) {
  if (const auto& layer = choices_.firstLayers[op.output]) return prepareFirstLayer(op, *layer);

  ConvolutionSearch search(shared_, *stopwatch_, parameters_.precision(), candidatesOf(op));
  const MaxPool2d* maxPool = choices_.pooledBy[op.output];
  const Filter& filter = parameters_.filter(op, folded_.norms[op.output]);
  const DirectConvolution direct = prepareDirect(op);
  const auto directBuffers = [input = buffer(op.input), weight = filter.weight->address(),
                              bias = filter.bias->address(),
                              made = buffer(maxPool == nullptr ? op.output : maxPool->output)](
                                 const Run& run) -> ConvolutionBuffers {
    return {address(run, input), weight, bias, address(run, made), 0};
  };
  Step directStep = [=](const Run& run) { direct(directBuffers(run)); };
  const bool isWanted = shared_.forced.form == ForcedForm::kDirect;
  const std::string key = search.key() + " direct " + kernelsText("convolution.cu");
  const auto known = direct && !isWanted ? shared_.cache.read(key) : std::nullopt;
  const bool isCandidate = direct && known != kPlanText;
  const std::optional<bool> isDirectRight =
      isCandidate ? search.isRight(direct, directBuffers(stopwatch_->trial())) : false;
  if (isDirectRight == true && (isWanted || known == kDirectText)) return directStep;

  const auto plan = std::make_shared<const Plan>(search.choosePlan());
  Step planStep = search.stepOf(plan);
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

}  // namespace vgg::cuda
