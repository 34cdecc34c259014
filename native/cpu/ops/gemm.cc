// The linear layer. With few images, reading its weight is the bottleneck. It skips zeros: a column
// of the weight is not read if the input is zero in all images, which is frequent after a ReLU.
#include <algorithm>
#include <array>
#include <bit>

#include "cpu/executable.h"
#include "cpu/ops/gemm/linear_split.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kOutputs = 128;  // the outputs whose partial sums one task adds up

/** The columns in which not all of a few images are zero, stored contiguously. */
class ListedColumns {
 public:
  /** Lists these columns of the product's A (or all of them) and makes the product use the list. */
  void replace(StripProduct& product, bool all) {
    // The bits without the sign are 0 for +0 and -0.
    std::array<uint32_t, kListedColumns> bits;
    std::fill_n(bits.data(), product.depth, all ? 1 : 0);
    for (ptrdiff_t row = 0; row < product.rows; ++row) {
      const float* input = product.a + row * product.aRowStride;
      for (ptrdiff_t column = 0; column < product.depth; ++column)
        bits[column] |= std::bit_cast<uint32_t>(input[column]) << 1;
    }
    ptrdiff_t count = 0;
    for (ptrdiff_t column = 0; column < product.depth; ++column) {
      columns_[count] = static_cast<int32_t>(column);
      count += bits[column] != 0 ? 1 : 0;
    }
    for (ptrdiff_t row = 0; row < product.rows; ++row) {
      const float* input = product.a + row * product.aRowStride;
      for (ptrdiff_t i = 0; i < count; ++i) inputs_[row][i] = input[columns_[i]];
    }
    product.a = inputs_[0].data();
    product.aRowStride = kListedColumns;
    product.depth = count;
    product.rowsOfB = columns_.data();
  }

 private:
  std::array<int32_t, kListedColumns> columns_;
  std::array<std::array<float, kListedColumns>, kStreamedRows> inputs_;
};

/** What the tasks of one layer share. */
struct LinearLayer {
  const Kernels& kernels;
  LinearSplit split;
  std::shared_ptr<const PackedMatrix> weight;
  Buffer input, output;
  bool relu;

  /** Computes a task's products. Returns the number of columns read. */
  ptrdiff_t multiply(std::byte* arena, const LinearSplit::Task& task, float* sums) const {
    const auto [strip, part, share] = task;
    const ptrdiff_t first = part * split.columnsPerPart;
    const auto stride = static_cast<ptrdiff_t>(weight->stride());
    const auto [floats, halves] = weight->strip(static_cast<size_t>(strip));
    StripProduct product{};
    product.a = input.image(arena, 0) + first;
    product.aRowStride = input.imageStride();
    product.rows = split.images;
    product.depth = std::min(split.columnsPerPart, split.columns - first);
    if (halves != nullptr) {
      product.halfB = halves + first * stride + split.start(share);
    } else {
      product.b = floats + first * stride + split.start(share);
    }
    product.bRowStride = stride;
    product.width = split.start(share + 1) - split.start(share);
    product.c =
        sums + part * split.images * split.sumStride() + strip * split.width + split.start(share);
    product.cRowStride = split.sumStride();
    ListedColumns listed;
    if (split.isListed()) listed.replace(product, !weight->isFinite());  // 0 · ∞ is not 0
    kernels.multiplyStrip(product);
    return product.depth;
  }

  /** Adds up the parts of outputs [first, first + kOutputs) of row `row`. */
  void finish(std::byte* arena, ptrdiff_t row, ptrdiff_t first, const float* sums,
              const float* bias) const {
    const ptrdiff_t count = std::min(kOutputs, output.channels - first);
    std::array<float, kOutputs> totals{};
    if (bias != nullptr) std::copy_n(bias + first, count, totals.data());
    for (ptrdiff_t part = 0; part < split.parts(); ++part) {
      const float* sum = sums + (part * split.images + row) * split.sumStride() + first;
      for (ptrdiff_t i = 0; i < count; ++i) totals[i] += sum[i];
    }
    float* to = output.image(arena, row) + first;
    for (ptrdiff_t i = 0; i < count; ++i) to[i] = relu && totals[i] < 0 ? 0 : totals[i];
  }
};

}  // namespace

Step CpuExecutable::prepare(const Gemm& op) {
  // The matrix has the order of the input's bytes, which may be (N, H, W, C).
  const Buffer input = buffer(op.input);
  const LinearLayer layer{kernels_,
                          choices_.linear.at(op.output),
                          parameters_.matrix(op.weight, static_cast<size_t>(input.channels)),
                          input,
                          buffer(op.output),
                          op.relu};
  const size_t scratch = choices_.scratch[op.output];
  std::atomic<ptrdiff_t>& columnsRead = columnsRead_[op.output];
  return [=, this, &columnsRead](const Run& run) {
    columnsRead = 0;
    auto* sums = reinterpret_cast<float*>(run.arena + scratch);
    const float* biases = op.bias == kNone ? nullptr : parameters_.dense(op.bias);
    pool_.run(static_cast<size_t>(layer.split.tasks()), [&](size_t index) {
      const LinearSplit::Task task = layer.split.taskAt(index);
      const ptrdiff_t read = layer.multiply(run.arena, task, sums);
      if (task.strip == 0 && task.share == 0) columnsRead += read;  // the others read the same
    });
    const ptrdiff_t blocks = divideUp(layer.output.channels, kOutputs);
    pool_.run(static_cast<size_t>(layer.split.images * blocks), [&](size_t index) {
      const auto task = static_cast<ptrdiff_t>(index);
      layer.finish(run.arena, task / blocks, task % blocks * kOutputs, sums, biases);
    });
  };
}

Work CpuExecutable::workOf(const Gemm& op) {
  const auto outputs = static_cast<double>(buffer(op.output).channels);
  const double elementBytes = parameters_.isHalf() ? sizeof(uint16_t) : sizeof(float);
  const double biasBytes = op.bias == kNone ? 0 : outputs * sizeof(float);
  return [=, this, &columnsRead = columnsRead_[op.output]]() -> StepWork {
    const double weights = outputs * static_cast<double>(columnsRead.load());
    return {static_cast<double>(batch_) * weights, weights * elementBytes + biasBytes};
  };
}

}  // namespace vgg::cpu
