#include "cpu/choices.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/fold.h"
#include "core/memory/arena.h"

namespace vgg::cpu {
namespace {

// Up to this filter size (before any transform), process image by image: rereading a cached filter
// beats streaming the activations of a whole batch from memory.
constexpr size_t kImagewiseFilterBytes = size_t{3} << 20;
constexpr ptrdiff_t kThreadsPerImage = 8;  // one image has enough work for this many

struct Sides {
  ptrdiff_t height, width;
};

/** Returns the output size of a 3 × 3 convolution of stride 1 before its pool. */
Sides sidesOf(const Conv2d& conv, const Buffer& input) {
  const ptrdiff_t added = 2 * static_cast<ptrdiff_t>(conv.padding) - 2;
  return {input.height + added, input.width + added};
}

class Chooser {
 public:
  Chooser(const Program& program, const std::vector<ParameterSpec>& specs, bool isHalf,
          size_t batch, const Kernels& kernels, int threads)
      : program_(program),
        specs_(specs),
        isHalf_(isHalf),
        batch_(static_cast<ptrdiff_t>(batch)),
        kernels_(kernels),
        threads_(threads),
        uses_(countUses(program)) {
    const size_t count = program.values.size();
    choices_.buffers.resize(count);
    choices_.storage.resize(count);
    choices_.isMerged.resize(count);
    choices_.pooledBy.resize(count);
    choices_.winograd.resize(count);
    choices_.scratch.resize(count);
    choices_.imagesAtOnce = batch_;
  }

  Choices choose() {
    chooseLayouts();
    joinPools();
    chooseImagewise();
    chooseConvolutions();
    chooseLinear();
    shareStorage();
    place();
    return std::move(choices_);
  }

 private:
  void chooseLayouts();
  void joinPools();
  void chooseImagewise();
  void chooseConvolutions();
  void chooseLinear();
  void shareStorage();
  void place();
  [[nodiscard]] size_t byteCount(size_t value) const;

  const Program& program_;
  const std::vector<ParameterSpec>& specs_;
  bool isHalf_;
  ptrdiff_t batch_;
  const Kernels& kernels_;
  int threads_;
  std::vector<int> uses_;  // per value: its reads
  Choices choices_;
};

void Chooser::chooseLayouts() {
  for (size_t i = 0; i < choices_.buffers.size(); ++i) {
    const Shape& shape = program_.values[i].shape;
    Buffer& buffer = choices_.buffers[i];
    buffer.images = batch_;
    buffer.channels = static_cast<ptrdiff_t>(shape[0]);
    if (shape.size() == 3) {
      buffer.height = static_cast<ptrdiff_t>(shape[1]);
      buffer.width = static_cast<ptrdiff_t>(shape[2]);
    }
  }
}

/** Fuses a 2 × 2 pool with the convolution before it if nothing else reads the value between them.
 */
void Chooser::joinPools() {
  for (size_t i = 0; i + 1 < program_.ops.size(); ++i) {
    const auto* conv = std::get_if<Conv2d>(&program_.ops[i]);
    const auto* pool = std::get_if<MaxPool2d>(&program_.ops[i + 1]);
    if (conv == nullptr || pool == nullptr || pool->input != conv->output) continue;
    if (uses_[conv->output] != 1 || pool->size != 2 || pool->stride != 2 || pool->padding != 0)
      continue;
    choices_.pooledBy[conv->output] = pool;
    choices_.isMerged[pool->output] = true;
  }
}

/** The first layers have large activations and small filters. Their steps run image by image (or a
 * few images at a time with many threads), so that a value is still in a cache when it is read. */
void Chooser::chooseImagewise() {
  if (batch_ == 1) return;
  const auto isImagewise = [&](const Op& op) {
    const auto* conv = std::get_if<Conv2d>(&op);
    if (conv == nullptr) {
      return std::holds_alternative<Normalize>(op) || std::holds_alternative<BatchNorm>(op) ||
             std::holds_alternative<Relu>(op) || std::holds_alternative<MaxPool2d>(op);
    }
    const size_t filter = elementCount(specs_[conv->weight].shape) * sizeof(float);
    return filter <= kImagewiseFilterBytes;
  };
  const std::vector<Op>& ops = program_.ops;
  size_t& imagewise = choices_.imagewise;
  while (imagewise < ops.size() && isImagewise(ops[imagewise])) ++imagewise;
  if (imagewise == 0) return;
  // Take more images at once for more threads, and the same number in each turn.
  ptrdiff_t& atOnce = choices_.imagesAtOnce;
  atOnce = std::clamp<ptrdiff_t>(threads_ / kThreadsPerImage, 1, batch_);
  while (batch_ % atOnce != 0) --atOnce;
  // Values that only these steps use hold imagesAtOnce images.
  for (const int input : program_.inputs) choices_.buffers[input].images = atOnce;
  for (size_t i = 0; i < imagewise; ++i) {
    for (const int value : outputsOf(ops[i])) choices_.buffers[value].images = atOnce;
  }
  for (size_t i = imagewise; i < ops.size(); ++i) {
    for (const int value : inputsOf(ops[i])) choices_.buffers[value].images = batch_;
  }
  for (const int output : program_.outputs) choices_.buffers[output].images = batch_;
}

/** Chooses each convolution's algorithm and the padding around its input. */
void Chooser::chooseConvolutions() {
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const auto* conv = std::get_if<Conv2d>(&program_.ops[i]);
    if (conv == nullptr) continue;
    Buffer& input = choices_.buffers[conv->input];
    input.border = std::max<ptrdiff_t>(input.border, conv->padding);
    const Shape& weight = specs_[conv->weight].shape;
    const auto [height, width] = sidesOf(*conv, input);
    if (!suitsWinograd(*conv, weight, height, width, kernels_)) continue;
    // Imagewise steps choose tiles for one image, because imagesAtOnce depends on the threads.
    const bool isImagewise = i < choices_.imagewise;
    const WinogradTiles tiles =
        chooseTiles(*conv, isHalf_, height, width, isImagewise ? 1 : batch_);
    const WinogradTiling tiling = tileWinograd(
        weight, tiles, isImagewise ? choices_.imagesAtOnce : batch_, kernels_, threads_);
    choices_.winograd[conv->output] = tiling;
    // Tiles at the edge read past the ring if they cover more than the output.
    const auto missing = [&](const WinogradCut& cut, ptrdiff_t length) {
      return cut.pixels() + 2 - conv->padding - length - input.border;
    };
    input.rowsBelow = std::max(input.rowsBelow, missing(tiling.down, input.height));
    input.columnsBeside = std::max(input.columnsBeside, missing(tiling.across, input.width));
  }
}

void Chooser::chooseLinear() {
  for (const Op& op : program_.ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op))
      choices_.linear.emplace(gemm->output,
                              splitLinear(specs_[gemm->weight].shape, isHalf_, batch_, threads_));
  }
}

/** A flattened value that only linear layers read shares the bytes of its input: the layers'
 * weights are packed in that order. */
void Chooser::shareStorage() {
  std::iota(choices_.storage.begin(), choices_.storage.end(), 0);
  std::vector<int> readByGemm(program_.values.size(), 0);
  for (const Op& op : program_.ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op)) ++readByGemm[gemm->input];
  }
  for (const Op& op : program_.ops) {
    const auto* flatten = std::get_if<Flatten>(&op);
    if (flatten == nullptr || readByGemm[flatten->output] != uses_[flatten->output]) continue;
    const Buffer& input = choices_.buffers[flatten->input];
    if (input.border + input.rowsBelow + input.columnsBeside != 0) continue;
    choices_.storage[flatten->output] = flatten->input;
    choices_.isMerged[flatten->output] = true;
  }
}

size_t Chooser::byteCount(size_t value) const {
  const Buffer& buffer = choices_.buffers[value];
  const size_t pixels =
      checkedMultiply(static_cast<size_t>(buffer.height + 2 * buffer.border + buffer.rowsBelow),
                      static_cast<size_t>(buffer.width + 2 * buffer.border + buffer.columnsBeside));
  const size_t image =
      checkedMultiply(pixels, static_cast<size_t>(buffer.channels) * sizeof(float));
  return checkedMultiply(image, static_cast<size_t>(buffer.images));
}

/** Places all values in one arena. */
void Chooser::place() {
  ArenaSizes sizes(program_);
  for (size_t i = 0; i < sizes.values.size(); ++i) {
    // Pixels are read where the caller has them, and a fused pool's input is never stored.
    const bool isPlaced =
        program_.values[i].dtype != DType::kUint8 && choices_.pooledBy[i] == nullptr;
    if (isPlaced) sizes.values[i] = byteCount(i);
  }
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const int value = outputOf(program_.ops[i]);
    const int made = choices_.lastValueOf(value);
    if (made != value) sizes.firstSteps[made] = static_cast<int>(i) + 1;
    // A value that is filled image by image lives from the first image on.
    if (i < choices_.imagewise && choices_.buffers[made].images > choices_.imagesAtOnce)
      sizes.firstSteps[made] = 0;
    size_t floats = 0;
    if (const auto& tiling = choices_.winograd[value]) floats = tiling->scratchFloats(threads_);
    if (const auto split = choices_.linear.find(value); split != choices_.linear.end())
      floats = split->second.scratchFloats();
    sizes.scratch[i] = checkedMultiply(floats, sizeof(float));
  }
  const ArenaOffsets offsets = placeValues(program_, sizes, choices_.storage);
  choices_.arenaBytes = offsets.bytes;
  for (size_t i = 0; i < program_.ops.size(); ++i)
    choices_.scratch[outputOf(program_.ops[i])] = offsets.scratch[i];
  for (size_t i = 0; i < offsets.values.size(); ++i) {
    choices_.buffers[i].offset = offsets.values[i];
    if (choices_.storage[i] != static_cast<int>(i))
      choices_.buffers[i] = choices_.buffers[choices_.storage[i]];
  }
}

}  // namespace

Choices choose(const Program& program, const std::vector<ParameterSpec>& specs, bool isHalf,
               size_t batch, const Kernels& kernels, int threads) {
  return Chooser(program, specs, isHalf, batch, kernels, threads).choose();
}

}  // namespace vgg::cpu
