// All choices of this back end: the layout and place of each value, which operations are fused or
// need no step, which algorithm they use, and how many images they process at once.
#include <algorithm>
#include <numeric>

#include "core/fold.h"
#include "core/memory/arena.h"
#include "cpu/executable.h"

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

}  // namespace

void CpuExecutable::choose() {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const Shape& shape = program_.values[i].shape;
    Buffer& buffer = buffers_[i];
    buffer.images = batch_;
    buffer.channels = static_cast<ptrdiff_t>(shape[0]);
    if (shape.size() == 3) {
      buffer.height = static_cast<ptrdiff_t>(shape[1]);
      buffer.width = static_cast<ptrdiff_t>(shape[2]);
    }
  }
  joinPools();
  chooseImagewise();
  chooseConvolutions();

  // A flattened value that only linear layers read shares the bytes of its input: the layers'
  // weights are packed in that order.
  std::iota(home_.begin(), home_.end(), 0);
  const std::vector<int> uses = countUses(program_);
  std::vector<int> readByGemm(program_.values.size(), 0);
  for (const Op& op : program_.ops) {
    if (const auto* gemm = std::get_if<Gemm>(&op)) ++readByGemm[gemm->input];
  }
  for (const Op& op : program_.ops) {
    const auto* flatten = std::get_if<Flatten>(&op);
    if (flatten == nullptr) continue;
    const bool onlyGemm = readByGemm[flatten->output] == uses[flatten->output];
    const Buffer& input = buffers_[flatten->input];
    if (onlyGemm && input.border + input.rowsBelow + input.columnsBeside == 0)
      home_[flatten->output] = flatten->input;
  }
}

/** Fuses a 2 × 2 pool with the convolution before it if nothing else reads the value between them.
 */
void CpuExecutable::joinPools() {
  const std::vector<int> uses = countUses(program_);
  for (size_t i = 0; i + 1 < program_.ops.size(); ++i) {
    auto* conv = std::get_if<Conv2d>(&program_.ops[i]);
    const auto* pool = std::get_if<MaxPool2d>(&program_.ops[i + 1]);
    if (conv == nullptr || pool == nullptr || pool->input != conv->output) continue;
    if (uses[conv->output] != 1 || pool->size != 2 || pool->stride != 2 || pool->padding != 0)
      continue;
    conv->output = pool->output;
    conv->pool = true;
    program_.ops.erase(program_.ops.begin() + static_cast<ptrdiff_t>(i) + 1);
  }
}

/** Chooses each convolution's algorithm and the padding around its input. */
void CpuExecutable::chooseConvolutions() {
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const auto* conv = std::get_if<Conv2d>(&program_.ops[i]);
    if (conv == nullptr) continue;
    Buffer& input = buffers_[conv->input];
    input.border = std::max<ptrdiff_t>(input.border, conv->padding);
    const Shape& weight = parameters_.specs()[conv->weight].shape;
    const auto [height, width] = sidesOf(*conv, input);
    if (!suitsWinograd(*conv, weight, height, width, kernels_)) continue;
    // Imagewise steps choose tiles for one image, because imagesAtOnce_ depends on the threads.
    const bool isImagewise = i < imagewise_;
    const WinogradTiles tiles =
        chooseTiles(parameters_.isHalf(), height, width, isImagewise ? 1 : batch_);
    const WinogradPlan plan = planWinograd(weight, tiles, isImagewise ? imagesAtOnce_ : batch_,
                                           kernels_, pool_.threads());
    winograd_[conv->output] = plan;
    // Tiles at the edge read past the ring if they cover more than the output.
    const auto missing = [&](const WinogradCut& cut, ptrdiff_t length) {
      return cut.pixels() + 2 - conv->padding - length - input.border;
    };
    input.rowsBelow = std::max(input.rowsBelow, missing(plan.down, input.height));
    input.columnsBeside = std::max(input.columnsBeside, missing(plan.across, input.width));
  }
}

/** The first layers have large activations and small filters. Their steps run image by image (or a
 * few images at a time with many threads), so that a value is still in a cache when it is read. */
void CpuExecutable::chooseImagewise() {
  if (batch_ == 1) {
    imagewise_ = 0;
    return;
  }
  const auto isImagewise = [&](const Op& op) {
    const auto* conv = std::get_if<Conv2d>(&op);
    if (conv == nullptr) {
      return std::holds_alternative<Normalize>(op) || std::holds_alternative<BatchNorm>(op) ||
             std::holds_alternative<Relu>(op) || std::holds_alternative<MaxPool2d>(op);
    }
    const size_t filter = elementCount(parameters_.specs()[conv->weight].shape) * sizeof(float);
    return filter <= kImagewiseFilterBytes;
  };
  while (imagewise_ < program_.ops.size() && isImagewise(program_.ops[imagewise_])) ++imagewise_;
  if (imagewise_ == 0) return;
  // More images for more threads, the same number in each turn.
  imagesAtOnce_ = std::clamp<ptrdiff_t>(pool_.threads() / kThreadsPerImage, 1, batch_);
  while (batch_ % imagesAtOnce_ != 0) --imagesAtOnce_;
  // Values that only these steps use hold imagesAtOnce_ images.
  for (const int input : program_.inputs) buffers_[input].images = imagesAtOnce_;
  for (size_t i = 0; i < imagewise_; ++i) {
    for (const int value : outputsOf(program_.ops[i])) buffers_[value].images = imagesAtOnce_;
  }
  for (size_t i = imagewise_; i < program_.ops.size(); ++i) {
    for (const int value : inputsOf(program_.ops[i])) buffers_[value].images = batch_;
  }
  for (const int output : program_.outputs) buffers_[output].images = batch_;
}

/** Places all values in one arena by their lifetimes. Step 0 reads the inputs, step i + 1 is op i,
 * the last step writes the outputs. */
void CpuExecutable::place() {
  const int last = static_cast<int>(program_.ops.size()) + 1;
  std::vector<Lifetime> lives(program_.values.size(), Lifetime{0, last, 0});
  const auto touch = [&](int value, int step) {
    Lifetime& life = lives[home_[value]];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  };
  for (const int input : program_.inputs) touch(input, 0);
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const int step = static_cast<int>(i) + 1;
    for (const int value : inputsOf(program_.ops[i])) touch(value, step);
    for (const int value : outputsOf(program_.ops[i])) {
      touch(value, step);
      // A value that is filled image by image lives from the first image on.
      if (i < imagewise_ && buffers_[value].images > imagesAtOnce_) touch(value, 0);
    }
  }
  for (const int output : program_.outputs) touch(output, last);

  for (size_t i = 0; i < lives.size(); ++i) {
    const bool isPlaced = home_[i] == static_cast<int>(i) && !isExternal(static_cast<int>(i));
    if (!isPlaced || lives[i].first > lives[i].last) continue;
    const Buffer& buffer = buffers_[i];
    const size_t pixels = checkedMultiply(
        static_cast<size_t>(buffer.height + 2 * buffer.border + buffer.rowsBelow),
        static_cast<size_t>(buffer.width + 2 * buffer.border + buffer.columnsBeside));
    const size_t image =
        checkedMultiply(pixels, static_cast<size_t>(buffer.channels) * sizeof(float));
    lives[i].bytes = checkedMultiply(image, static_cast<size_t>(buffer.images));
  }
  // The scratch memory of each step.
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const int step = static_cast<int>(i) + 1;
    size_t floats = 0;
    if (const auto* conv = std::get_if<Conv2d>(&program_.ops[i])) {
      if (const auto& plan = winograd_[conv->output]) floats = plan->scratchFloats(pool_.threads());
    } else if (const auto* gemm = std::get_if<Gemm>(&program_.ops[i])) {
      floats = scratchFloats(*gemm);
    }
    lives.push_back({checkedMultiply(floats, sizeof(float)), step, step});
  }
  const ArenaPlan plan = planArena(lives);
  arenaBytes_ = plan.bytes;
  for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].offset = plan.offsets[home_[i]];
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    for (const int value : outputsOf(program_.ops[i]))
      scratch_[value] = plan.offsets[buffers_.size() + i];
  }
}

}  // namespace vgg::cpu
