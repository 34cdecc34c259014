#include "cuda/plan/cost.h"

#include "core/fold.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {
namespace {

size_t bytesOf(const Buffer& b) {
  return static_cast<size_t>(b.batch * b.pixels() * b.padded) * byteSize(b.type);
}

/** Goes through the rows in the order of Lowering::lower, with one overload for each of its
 * `prepare`. */
class Estimator {
 public:
  Estimator(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
            int64_t batch, std::optional<Form> wanted)
      : program_(program),
        specs_(specs),
        precision_(precision),
        batch_(batch),
        wanted_(wanted),
        choices_(choose(program, specs, precision, batch)) {}

  std::vector<StepCost> estimate() {
    for (const int input : program_.inputs) {
      if (choices_.isUnplaced[input]) continue;
      const Buffer& to = buffer(input);
      transpose("input", "toChannelsLast", to, to.padded, apiBytes(input) + bytesOf(to));
    }
    for (const Op& op : program_.ops) {
      if (!choices_.isPartOfAnotherStep(op)) std::visit([this](const auto& o) { add(o); }, op);
    }
    for (size_t i = 0; i < program_.outputs.size(); ++i) addOutput(i);
    return std::move(costs_);
  }

 private:
  [[nodiscard]] const Buffer& buffer(int value) const { return choices_.buffers[value]; }
  [[nodiscard]] std::string typed(const std::string& name, const Buffer& b) const {
    return name + "_" + suffixOf(b.type);
  }
  [[nodiscard]] size_t apiBytes(int value) const {
    const Value& v = program_.values[value];
    return elementCount(v.shape) * byteSize(v.dtype) * static_cast<size_t>(batch_);
  }
  /** Returns the name of the layer that a parameter belongs to. */
  [[nodiscard]] std::string layerOf(int weight) const {
    const std::string& name = specs_[weight].name;
    return name.substr(0, name.rfind('.'));
  }

  void transpose(const std::string& name, const std::string& kernel, const Buffer& b,
                 int64_t channels, size_t bytes) {
    costs_.push_back(
        {name, typed(kernel, b),
         geometry::transposeBlocks(b.batch, b.pixels()) * geometry::transposeSlices(channels),
         bytes});
  }
  /** Adds a kernel with a thread for each vector of its output. */
  void elementwise(const std::string& name, const std::string& kernel, size_t readBytes,
                   const Buffer& output, double operations) {
    costs_.push_back({name, typed(kernel, output), geometry::blocksFor(output.vectors()),
                      readBytes + bytesOf(output), 0, operations});
  }
  [[nodiscard]] static double elements(const Buffer& b) {
    return static_cast<double>(b.batch * b.pixels() * b.channels);
  }

  void add(const Normalize& op) {
    const Buffer& output = buffer(op.output);
    const bool isUint8 = program_.values[op.input].dtype == DType::kUint8;
    elementwise("normalize", isUint8 ? "normalizeBytes" : "affine",
                isUint8 ? apiBytes(op.input) : bytesOf(buffer(op.input)), output,
                2 * elements(output));
  }
  void add(const BatchNorm& op) {
    elementwise(layerOf(op.weight), "affine", bytesOf(buffer(op.input)), buffer(op.output),
                2 * elements(buffer(op.output)));
  }
  void add(const Relu& op) {
    elementwise("relu", "affine", bytesOf(buffer(op.input)), buffer(op.output), 0);
  }
  void add(const MaxPool2d& op) {
    elementwise("maxPool2d", "maxPool2d", bytesOf(buffer(op.input)), buffer(op.output), 0);
  }
  void add(const AdaptiveAvgPool2d& op) {
    elementwise("adaptiveAvgPool2d", "adaptiveAvgPool2d", bytesOf(buffer(op.input)),
                buffer(op.output), elements(buffer(op.input)));
  }
  void add(const Flatten& op) {
    const Buffer& input = buffer(op.input);
    const Buffer& output = buffer(op.output);
    const auto floats = static_cast<size_t>(output.batch * output.channels) * sizeof(float);
    transpose("flatten", "toChannelsFirst", input, input.channels, bytesOf(input) + floats);
    transpose("flatten", "toChannelsLast", output, output.padded, floats + bytesOf(output));
  }

  void add(const Conv2d& op) {
    const std::string name = layerOf(op.weight);
    const Shape& shape = specs_[op.weight].shape;
    const Buffer& output = buffer(op.output);
    const double operations =
        2.0 * elements(output) * static_cast<double>(shape[1] * shape[2] * shape[3]);
    if (const auto& layer = choices_.firstLayers[op.output]) {
      const Buffer& made = layer->maxPool == nullptr ? output : buffer(layer->maxPool->output);
      const Value& image = program_.values[layer->input];
      const bool isUint8 = image.dtype == DType::kUint8;
      const std::string kernel = std::string("firstLayer_") + (isUint8 ? "bytes" : "floats") +
                                 (layer->maxPool == nullptr ? "_flat_" : "_pool_") +
                                 (precision_ == Precision::kTf32 ? "tf32" : suffixOf(made.type));
      const Shape& pixels = program_.values[op.input].shape;
      costs_.push_back(
          {name, kernel, geometry::firstLayerTiles(batch_, pixels[1], pixels[2]),
           apiBytes(layer->input) + bytesOf(made),
           static_cast<size_t>(shape[0] * geometry::kFirstLayerRow) * byteSize(typeOf(precision_)),
           operations});
      return;
    }
    const Form form = wanted_.value_or(formsOf(op, choices_, specs_, precision_).forms.front());
    const Buffer& input = buffer(op.input);
    const MaxPool2d* maxPool = choices_.pooledBy[op.output];
    costs_.push_back({name, "cuDNN", 0, bytesOf(input) + bytesOf(output),
                      static_cast<size_t>(output.padded * shape[2] * shape[3] * input.padded) *
                          byteSize(input.type),
                      operations});
    if (maxPool != nullptr) {
      elementwise(name + " maxPool2d", "maxPool2d", bytesOf(output), buffer(maxPool->output), 0);
    } else if (form == Form::kPlain) {
      elementwise(name + " bias", "affine", bytesOf(output), output, elements(output));
    }
  }

  void add(const Gemm& op) {
    const Buffer& input = buffer(op.input);
    const Buffer& output = buffer(op.output);
    const int64_t inputs = input.pixels() * input.padded;
    const size_t elementBytes = byteSize(input.type);
    StepCost cost{layerOf(op.weight),
                  "cuBLASLt",
                  0,
                  bytesOf(input) + bytesOf(output),
                  static_cast<size_t>(output.padded * inputs) * elementBytes,
                  2.0 * elements(output) * static_cast<double>(input.channels * input.pixels())};
    if (isGemv(batch_)) {
      cost.kernel = typed("gemv" + std::to_string(batch_) + "_" + suffixOf(input.type), output);
      cost.blocks = geometry::gemvBlocks(output.padded, static_cast<int>(batch_),
                                         static_cast<int>(elementBytes));
    }
    costs_.push_back(std::move(cost));
  }
  void add(const Softmax& op) {
    const Buffer& output = buffer(op.output);
    costs_.push_back({"softmax", typed("softmax", output), output.batch,
                      bytesOf(buffer(op.input)) + bytesOf(output), 0, 3 * elements(output)});
  }
  void add(const TopK& op) {
    const Buffer& input = buffer(op.input);
    costs_.push_back({"topK", typed("topK", input), input.batch,
                      bytesOf(input) + bytesOf(buffer(op.output)) + bytesOf(buffer(op.indices))});
  }

  void addOutput(size_t index) {
    const int value = program_.outputs[index];
    const Buffer& from = buffer(value);
    const size_t bytes = apiBytes(value);
    if (program_.values[value].dtype == DType::kUint8) {
      costs_.push_back({"output", "copy", 0, 2 * bytes});
    } else if (from.isPlain()) {
      if (from.output != static_cast<int>(index))
        costs_.push_back({"output", "copy", 0, 2 * bytes});
    } else {
      transpose("output", "toChannelsFirst", from, from.channels, bytesOf(from) + bytes);
    }
  }

  const Program& program_;
  const std::vector<ParameterSpec>& specs_;
  Precision precision_;
  int64_t batch_;
  std::optional<Form> wanted_;
  Choices choices_;
  std::vector<StepCost> costs_;
};

}  // namespace

std::vector<StepCost> costsOf(const Program& program, const std::vector<ParameterSpec>& specs,
                              Precision precision, int64_t batch, std::optional<Form> wanted) {
  const Program folded = foldBatchNorm(program).program;
  return Estimator(folded, specs, precision, batch, wanted).estimate();
}

}  // namespace vgg::cuda
