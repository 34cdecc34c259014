// The choices of this back end as data, made without a GPU: how each value is stored, which
// operations run as one step, and where each value lies.
#pragma once

#include <optional>

#include "core/op.h"
#include "core/precision.h"

namespace vgg::cuda {

/** The type of the elements of a value or weight on the GPU. */
enum class Type : std::uint8_t { kFloat32, kFloat16, kBfloat16, kInt32 };

constexpr size_t byteSize(Type type) {
  return type == Type::kFloat16 || type == Type::kBfloat16 ? 2 : 4;
}
/** Returns the suffix in the names of kernels: "f32", "f16" or "bf16". */
const char* suffixOf(Type type);
Type typeOf(Precision precision);

/** Returns `count` rounded up to whole vectors of 16 bytes. The added channels are zero. */
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
  int output = kNone;  // the graph's output whose memory holds it, instead of the arena

  [[nodiscard]] int64_t pixels() const { return height * width; }
  /** Whether it has the API's layout: (N, C, H, W) in float32 or int32. */
  [[nodiscard]] bool isPlain() const {
    return pixels() == 1 && padded == channels && byteSize(type) == 4;
  }
  /** Vectors of 16 bytes. */
  [[nodiscard]] int64_t vectors() const {
    return batch * pixels() * padded * static_cast<int64_t>(byteSize(type)) / 16;
  }
};

/** The first layer in one kernel on tensor cores: from the graph's input to the output of the last
 * of these operations. */
struct FirstLayer {
  int input;
  const Normalize* normalize;  // may be null
  const MaxPool2d* maxPool;    // may be null
};

/** One entry per value. The pointers are into the program, which must outlive this. */
struct Choices {
  std::vector<Buffer> buffers;
  std::vector<int> storage;       // itself, or the value whose bytes it shares
  std::vector<bool> isUnplaced;   // read from the caller's input, or never stored
  std::vector<bool> isMerged;     // another operation's step computes it
  std::vector<bool> isRectified;  // follows a ReLU, maybe through a pool: often zero
  std::vector<const MaxPool2d*>
      pooledBy;  // the pool that runs in the step of the convolution that computes it
  std::vector<std::optional<FirstLayer>>
      firstLayers;  // how the convolution that computes it is merged
  size_t activationBytes = 0;

  [[nodiscard]] bool isPartOfAnotherStep(const Op& op) const;
  /** Returns the last value that the operation's step computes: the pool's if one is merged. */
  [[nodiscard]] int lastValueOf(const Op& op) const;
};

/** `program` has its batch normalisation folded (core/fold.h). `mergesFirst` says whether the
 * kernel for first layers may be used. Throws Error kOutOfMemory if no memory could hold it. */
Choices choose(const Program& program, const std::vector<ParameterSpec>& specs, Precision precision,
               int64_t batch, bool mergesFirst = true);

/** Returns the most images that run together, a power of two. Throws Error kUnsupported if not even
 * one image can run. */
size_t largestBatch(const Program& program);

}  // namespace vgg::cuda
