// The choices of this back end, made without a GPU: how each value is kept, which operations run as
// one step, and where everything lies.
#pragma once

#include <optional>

#include "core/op.h"
#include "core/precision.h"

namespace vgg::cuda {

/** How the elements of a value or weight are kept on the GPU. */
enum class Type : std::uint8_t { kFloat32, kFloat16, kBfloat16, kInt32 };

constexpr size_t byteSize(Type type) {
  return type == Type::kFloat16 || type == Type::kBfloat16 ? 2 : 4;
}
/** The ending of the names of kernels: "f32", "f16", "bf16". */
const char* suffixOf(Type type);
Type typeOf(Precision precision);

/** Channels are kept in whole vectors of 16 bytes, the rest of the last one zero. */
constexpr int64_t paddedCount(int64_t count, Type type) {
  const auto vector = static_cast<int64_t>(16 / byteSize(type));
  return (count + vector - 1) / vector * vector;
}

/** A value on the GPU: (N, H, W, padded channels). The padded channels hold zeros. A value (N, F)
 * is (N, 1, 1, F). */
struct Buffer {
  size_t offset = 0;
  int64_t batch = 0, channels = 0, padded = 0, height = 1, width = 1;
  Type type = Type::kFloat32;
  int output = kNone;  // of the graph: it lies there, not in the arena

  [[nodiscard]] int64_t pixels() const { return height * width; }
  /** Whether it lies as the API has it: (N, C, H, W) in float32 or int32. */
  [[nodiscard]] bool isPlain() const {
    return pixels() == 1 && padded == channels && byteSize(type) == 4;
  }
  /** Vectors of 16 bytes. */
  [[nodiscard]] int64_t vectors() const {
    return batch * pixels() * padded * static_cast<int64_t>(byteSize(type)) / 16;
  }
};

/** The first layer on tensor cores: from the graph's input, and as the last of these operations. */
struct FirstLayer {
  int input;
  const Normalize* normalize;  // or null
  const MaxPool2d* maxPool;    // or null
};

/** One entry per value. The pointers are into the program, which must outlive this. */
struct Choices {
  std::vector<Buffer> buffers;
  std::vector<int> storage;       // itself, or the value whose bytes it shares
  std::vector<bool> isExternal;   // read from the input itself, or never made
  std::vector<bool> isMerged;     // made by another operation's step
  std::vector<bool> isRectified;  // by a ReLU, or the greatest of such: many are zero
  std::vector<const MaxPool2d*>
      pooledBy;  // the pool that runs in the step of the convolution that makes it
  std::vector<std::optional<FirstLayer>>
      firstLayers;  // how the convolution that makes it is merged
  size_t activationBytes = 0;

  [[nodiscard]] bool isMergedAway(const Op& op) const;
  /** The last value that the operation's step makes: the pool's where one is merged into it. */
  [[nodiscard]] int madeBy(const Op& op) const;
};

/** `program` has its batch normalisation folded (core/fold.h). `mergesFirst`: whether the kernel
 * for first layers may be used. Throws Error kOutOfMemory if no memory could hold it. */
Choices choose(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
               int64_t batch, bool mergesFirst = true);

/** How many images run together at most, a power of two. Throws Error kUnsupported where not even
 * one can. */
size_t largestBatch(const Program& program);

}  // namespace vgg::cuda
