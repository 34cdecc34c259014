#include "cuda/plan/choices.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/fold.h"
#include "core/memory/arena.h"

namespace vgg::cuda {
namespace {

// cuMemAlloc aligns to this, and cuBLASLt's estimates rely on it.
constexpr size_t kAlignment = 256;

template <typename... Kinds>
bool isOneOf(const Op& op) {
  return (std::holds_alternative<Kinds>(op) || ...);
}

class Chooser {
 public:
  Chooser(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
          int64_t batch, bool mergesFirst)
      : program_(program),
        specs_(specs),
        precision_(precision),
        batch_(batch),
        mergesFirst_(mergesFirst) {
    const size_t count = program.values.size();
    choices_.buffers.resize(count);
    choices_.storage.resize(count);
    choices_.isUnplaced.resize(count);
    choices_.isMerged.resize(count);
    choices_.isRectified.resize(count);
    choices_.pooledBy.resize(count);
    choices_.firstLayers.resize(count);
  }

  Choices choose() {
    chooseLayouts();
    chooseTypes();
    chooseMerges();
    chooseOutputs();
    findRectified();
    place();
    return std::move(choices_);
  }

 private:
  void chooseLayouts();
  void chooseTypes();
  void chooseMerges();
  void mergeFirstLayer(const Conv2d& conv, const std::vector<int>& uses,
                       const std::vector<const Op*>& maker);
  void chooseOutputs();
  void findRectified();
  void place();

  const Program& program_;
  const std::vector<ParameterSpec>& specs_;
  Precision precision_;
  int64_t batch_;
  bool mergesFirst_;
  Choices choices_;
};

void Chooser::chooseLayouts() {
  for (size_t i = 0; i < choices_.buffers.size(); ++i) {
    const Value& value = program_.values[i];
    Buffer& buffer = choices_.buffers[i];
    buffer.batch = batch_;
    buffer.channels = value.shape[0];
    if (value.shape.size() == 3) {
      buffer.height = value.shape[1];
      buffer.width = value.shape[2];
    }
    const bool isIndices = value.dtype == DType::kInt32;
    buffer.type = isIndices ? Type::kInt32 : typeOf(precision_);
    buffer.padded = isIndices ? buffer.channels : paddedCount(buffer.channels, typeOf(precision_));
    choices_.isUnplaced[i] = value.dtype == DType::kUint8;
  }
}

/** Keeps logits and probabilities in float32: values that no later convolution, pool or linear
 * layer reads. */
void Chooser::chooseTypes() {
  std::vector<bool> isRead(program_.values.size(), false);
  for (auto op = program_.ops.rbegin(); op != program_.ops.rend(); ++op) {
    const bool passesOn = isOneOf<Relu, Softmax, TopK, Flatten>(*op);
    bool isNeeded = !passesOn;
    for (const int value : outputsOf(*op)) isNeeded = isNeeded || isRead[value];
    if (!isNeeded) continue;
    for (const int value : inputsOf(*op)) isRead[value] = true;
  }
  const auto isFloatInput = [&](int value) {
    return program_.values[value].dtype == DType::kFloat32 && !isRead[value];
  };
  for (const int input : program_.inputs) {
    if (isFloatInput(input)) choices_.buffers[input].type = Type::kFloat32;
  }
  for (const Op& op : program_.ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op)) {
      if (!isRead[gemm->output]) choices_.buffers[gemm->output].type = Type::kFloat32;
    } else if (isOneOf<Relu, Softmax, TopK, Flatten>(op)) {
      choices_.buffers[outputOf(op)].type = choices_.buffers[inputsOf(op).front()].type;
    }
  }
}

void Chooser::chooseMerges() {
  const std::vector<int> uses = countUses(program_);
  std::vector<const Op*> maker(program_.values.size(), nullptr);
  std::vector<const MaxPool2d*> pool(program_.values.size(), nullptr);
  std::vector<int> readByGemm(program_.values.size(), 0);
  for (const Op& op : program_.ops) {
    for (const int value : outputsOf(op)) maker[value] = &op;
    if (const auto* maxPool = std::get_if<MaxPool2d>(&op)) pool[maxPool->input] = maxPool;
    if (const auto* gemm = std::get_if<Gemm>(&op)) ++readByGemm[gemm->input];
  }

  for (const Op& op : program_.ops) {
    const auto* conv = std::get_if<Conv2d>(&op);
    if (conv == nullptr) continue;
    const MaxPool2d* maxPool = uses[conv->output] == 1 ? pool[conv->output] : nullptr;
    if (maxPool != nullptr) {
      choices_.pooledBy[conv->output] = maxPool;
      choices_.isMerged[maxPool->output] = true;
    }
    mergeFirstLayer(*conv, uses, maker);
  }

  // A flattened value shares its input's bytes if only linear layers read it or if it is only an
  // output: the layers' weights are packed in that order, and outputs are reordered when they are
  // copied out. An average over bins of one pixel shares them too.
  std::iota(choices_.storage.begin(), choices_.storage.end(), 0);
  for (const Op& op : program_.ops) {
    const auto* pool = std::get_if<AdaptiveAvgPool2d>(&op);
    if (pool != nullptr &&
        program_.values[pool->input].shape == program_.values[pool->output].shape &&
        choices_.buffers[pool->input].type == choices_.buffers[pool->output].type &&
        !choices_.isUnplaced[pool->input]) {
      choices_.storage[pool->output] = choices_.storage[pool->input];
      choices_.isMerged[pool->output] = true;
      continue;
    }
    const auto* flatten = std::get_if<Flatten>(&op);
    if (flatten == nullptr) continue;
    const auto asOutput =
        std::count(program_.outputs.begin(), program_.outputs.end(), flatten->output);
    if (readByGemm[flatten->output] + asOutput != uses[flatten->output]) continue;
    choices_.storage[flatten->output] = choices_.storage[flatten->input];
    choices_.isMerged[flatten->output] = true;
  }
}

/** Merges the first layer of a network: a convolution of three channels, which reads the image
 * where it was uploaded. */
void Chooser::mergeFirstLayer(const Conv2d& conv, const std::vector<int>& uses,
                              const std::vector<const Op*>& maker) {
  const Shape& shape = specs_[conv.weight].shape;
  const bool isFirst = mergesFirst_ && precision_ != Precision::kFloat32 && shape[1] == 3 &&
                       shape[2] == 3 && shape[3] == 3 && shape[0] % 16 == 0 && shape[0] <= 512 &&
                       conv.stride == 1 && conv.padding == 1 && uses[conv.input] == 1;
  if (!isFirst) return;
  int image = conv.input;
  const Normalize* normalize = nullptr;
  if (const Op* before = maker[image]; before != nullptr) {
    normalize = std::get_if<Normalize>(before);
    if (normalize == nullptr || uses[normalize->input] != 1) return;
    image = normalize->input;
  }
  if (maker[image] != nullptr || uses[image] != 1) return;
  const MaxPool2d* maxPool = choices_.pooledBy[conv.output];
  const bool isPooled =
      maxPool != nullptr && maxPool->size == 2 && maxPool->stride == 2 && maxPool->padding == 0;
  choices_.firstLayers[conv.output] = FirstLayer{image, normalize, isPooled ? maxPool : nullptr};
  choices_.isUnplaced[image] = true;
  if (normalize != nullptr)
    choices_.isUnplaced[normalize->output] = choices_.isMerged[normalize->output] = true;
  if (isPooled) {
    choices_.isUnplaced[conv.output] = true;
  } else if (maxPool != nullptr) {  // the kernel cannot fuse this pool, so it gets its own step
    choices_.pooledBy[conv.output] = nullptr;
    choices_.isMerged[maxPool->output] = false;
  }
}

/** Lets steps write values that have the API's layout straight to the memory from which the caller
 * reads them. */
void Chooser::chooseOutputs() {
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    const int stored = choices_.storage[program_.outputs[i]];
    Buffer& buffer = choices_.buffers[stored];
    if (buffer.output == kNone && buffer.isPlain() && !choices_.isUnplaced[stored])
      buffer.output = static_cast<int>(i);
  }
}

void Chooser::findRectified() {
  const auto isRectified = [&](const Op& op) {
    if (const auto* conv = std::get_if<Conv2d>(&op)) return conv->relu;
    if (const auto* norm = std::get_if<BatchNorm>(&op)) return norm->relu;
    if (const auto* gemm = std::get_if<Gemm>(&op)) return gemm->relu;
    if (std::holds_alternative<Relu>(op)) return true;
    // An average of values that are not negative is zero only if all of them are zero.
    bool passesOn = isOneOf<MaxPool2d, Flatten>(op);
    if (const auto* pool = std::get_if<AdaptiveAvgPool2d>(&op))
      passesOn = program_.values[pool->input].shape == program_.values[pool->output].shape;
    return passesOn && choices_.isRectified[inputsOf(op).front()];
  };
  for (const Op& op : program_.ops) choices_.isRectified[outputOf(op)] = isRectified(op);
}

/** Places all other values in one arena. */
void Chooser::place() {
  ArenaSizes sizes(program_);
  for (size_t i = 0; i < sizes.values.size(); ++i) {
    const Buffer& b = choices_.buffers[i];
    if (choices_.isUnplaced[i] || b.output != kNone) continue;
    const size_t row = checkedMultiply(static_cast<size_t>(b.padded), byteSize(b.type));
    const size_t image = checkedMultiply(
        row, checkedMultiply(static_cast<size_t>(b.height), static_cast<size_t>(b.width)));
    const size_t bytes = checkedMultiply(image, static_cast<size_t>(batch_));
    sizes.values[i] = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  // A merged pool writes its output in the step of its convolution.
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const int made = choices_.lastValueOf(program_.ops[i]);
    if (made != outputOf(program_.ops[i])) sizes.firstSteps[made] = static_cast<int>(i) + 1;
  }
  const ArenaOffsets offsets = placeValues(program_, sizes, choices_.storage);
  choices_.activationBytes = offsets.bytes;
  for (size_t i = 0; i < offsets.values.size(); ++i) {
    choices_.buffers[i].offset = offsets.values[i];
    if (choices_.storage[i] != static_cast<int>(i))
      choices_.buffers[i] = choices_.buffers[choices_.storage[i]];
  }
}

}  // namespace

const char* suffixOf(Type type) {
  return type == Type::kFloat16 ? "f16" : type == Type::kBfloat16 ? "bf16" : "f32";
}

Type typeOf(Precision precision) {
  if (precision == Precision::kFloat16) return Type::kFloat16;
  if (precision == Precision::kBfloat16) return Type::kBfloat16;
  return Type::kFloat32;
}

bool Choices::isPartOfAnotherStep(const Op& op) const { return isMerged[outputOf(op)]; }

int Choices::lastValueOf(const Op& op) const {
  const int value = outputOf(op);
  const auto& firstLayer = firstLayers[value];
  const MaxPool2d* maxPool = firstLayer ? firstLayer->maxPool : pooledBy[value];
  return maxPool != nullptr ? maxPool->output : value;
}

Choices choose(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
               int64_t batch, bool mergesFirst) {
  return Chooser(program, specs, precision, batch, mergesFirst).choose();
}

size_t largestBatch(const Program& program) {
  constexpr size_t kMaxBatch = 256;                    // larger ones are not faster
  constexpr size_t kElements = (size_t{1} << 31) - 1;  // cuDNN's engines count in 32 bits
  size_t largest = 1;
  for (const Value& value : program.values) {
    Shape shape = value.shape;
    shape[0] = paddedCount(shape[0], Type::kFloat16);
    largest = std::max(largest, elementCount(shape));
  }
  if (largest > kElements)
    throw Error(Code::kUnsupported, "Expected at most " + std::to_string(kElements) +
                                        " elements in each value of one image on a GPU, and there "
                                        "are " +
                                        std::to_string(largest));
  return std::min(kMaxBatch, std::bit_floor(kElements / largest));
}

}  // namespace vgg::cuda
