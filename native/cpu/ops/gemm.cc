// The linear layer. With few images, reading its weight is the bottleneck. It skips zeros: a column
// of the weight is not read if the input is zero in all images, which is frequent after a ReLU.
#include <algorithm>
#include <array>
#include <bit>

#include "core/shape.h"
#include "cpu/executable.h"

namespace vgg::cpu {
namespace {

// Max columns of the weight that one task sums: kListedColumns for few images (with a list),
// kColumns for many. They do not depend on the number of threads, because a sum's bits depend on
// its parts.
constexpr ptrdiff_t kListedColumns = 1024;
constexpr ptrdiff_t kColumns = 2048;
constexpr ptrdiff_t kColumnGrain = 16;
// A task computes at least this many outputs of a strip if threads share it.
constexpr ptrdiff_t kMinOutputs = 64;
constexpr ptrdiff_t kOutputs = 128;  // the outputs whose partial sums one task adds up
// Rows of sums are this many floats more than whole pages apart: a load waits for an earlier store
// if the low bits of their addresses match.
constexpr ptrdiff_t kSkew = ptrdiff_t{9} * 16;

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
      places_[count] = static_cast<int32_t>(column);
      count += bits[column] != 0 ? 1 : 0;
    }
    for (ptrdiff_t row = 0; row < product.rows; ++row) {
      const float* input = product.a + row * product.aRowStride;
      for (ptrdiff_t i = 0; i < count; ++i) inputs_[row][i] = input[places_[i]];
    }
    product.a = inputs_[0].data();
    product.aRowStride = kListedColumns;
    product.depth = count;
    product.places = places_.data();
  }

 private:
  std::array<int32_t, kListedColumns> places_;
  std::array<std::array<float, kListedColumns>, kStreamedRows> inputs_;
};

/** Returns into how many pieces (at most `most`) each of `tasks` equal tasks is cut: the min number
 * that leaves no thread with a sixteenth more than an even share. */
ptrdiff_t piecesFor(ptrdiff_t tasks, ptrdiff_t threads, ptrdiff_t most) {
  const auto isEven = [&](ptrdiff_t count) {
    return divideUp(count, threads) * threads * 16 <= count * 17;
  };
  ptrdiff_t pieces = 1;
  while (pieces < most && !isEven(tasks * pieces)) ++pieces;
  return pieces;
}

/** What the tasks of one layer share. */
struct LinearLayer {
  const Kernels& kernels;
  std::shared_ptr<const PackedMatrix> weight;
  Buffer input, output;
  ptrdiff_t rows;  // images
  bool relu;
  ptrdiff_t columnsPerPart;
  ptrdiff_t pieces;  // pieces of a strip's outputs

  LinearLayer(const Kernels& kernels, std::shared_ptr<const PackedMatrix> matrix, Buffer input,
              Buffer output, ptrdiff_t rows, bool relu, int threads)
      : kernels(kernels),
        weight(std::move(matrix)),
        input(input),
        output(output),
        rows(rows),
        relu(relu) {
    const ptrdiff_t fewest = divideUp(columns(), isListed() ? kListedColumns : kColumns);
    columnsPerPart = divideUp(divideUp(columns(), fewest), kColumnGrain) * kColumnGrain;
    pieces = piecesFor(strips() * parts(), threads, std::max<ptrdiff_t>(1, width() / kMinOutputs));
  }

  [[nodiscard]] bool isListed() const { return rows <= kStreamedRows; }
  [[nodiscard]] ptrdiff_t columns() const { return static_cast<ptrdiff_t>(weight->columns()); }
  [[nodiscard]] ptrdiff_t strips() const { return static_cast<ptrdiff_t>(weight->strips()); }
  [[nodiscard]] ptrdiff_t width() const { return static_cast<ptrdiff_t>(weight->width()); }
  [[nodiscard]] ptrdiff_t parts() const { return divideUp(columns(), columnsPerPart); }
  /** Floats between the sums of consecutive rows. Sums are [part][row][output]. */
  [[nodiscard]] ptrdiff_t sumStride() const { return strips() * width() + kSkew; }

  /** One task multiplies a part of the columns with a piece of a strip. */
  struct Task {
    ptrdiff_t strip, part, piece;
  };
  [[nodiscard]] ptrdiff_t tasks() const { return strips() * parts() * pieces; }
  [[nodiscard]] Task taskAt(size_t index) const {
    const auto i = static_cast<ptrdiff_t>(index);
    return {i / pieces / parts(), i / pieces % parts(), i % pieces};
  }
  /** Returns the first output of a piece of a strip. */
  [[nodiscard]] ptrdiff_t start(ptrdiff_t piece) const {
    return width() / kStripGrain * piece / pieces * kStripGrain;
  }

  /** Computes a task's products. Returns the number of columns read. */
  ptrdiff_t multiply(std::byte* arena, const Task& task, float* sums) const {
    const auto [strip, part, piece] = task;
    const ptrdiff_t first = part * columnsPerPart;
    const auto stride = static_cast<ptrdiff_t>(weight->stride());
    const auto [floats, halves] = weight->strip(static_cast<size_t>(strip));
    StripProduct product{};
    product.a = input.image(arena, 0) + first;
    product.aRowStride = input.imageStride();
    product.rows = rows;
    product.depth = std::min(columnsPerPart, columns() - first);
    if (halves != nullptr) {
      product.halfB = halves + first * stride + start(piece);
    } else {
      product.b = floats + first * stride + start(piece);
    }
    product.bRowStride = stride;
    product.width = start(piece + 1) - start(piece);
    product.c = sums + part * rows * sumStride() + strip * width() + start(piece);
    product.cRowStride = sumStride();
    ListedColumns listed;
    if (isListed()) listed.replace(product, !weight->isFinite());  // 0 · ∞ is not 0
    kernels.multiplyStrip(product);
    return product.depth;
  }

  /** Adds up the parts of outputs [first, first + kOutputs) of row `row`. */
  void finish(std::byte* arena, ptrdiff_t row, ptrdiff_t first, const float* sums,
              const float* bias) const {
    const ptrdiff_t count = std::min(kOutputs, output.channels - first);
    std::array<float, kOutputs> totals{};
    if (bias != nullptr) std::copy_n(bias + first, count, totals.data());
    for (ptrdiff_t part = 0; part < parts(); ++part) {
      const float* sum = sums + (part * rows + row) * sumStride() + first;
      for (ptrdiff_t i = 0; i < count; ++i) totals[i] += sum[i];
    }
    float* to = output.image(arena, row) + first;
    for (ptrdiff_t i = 0; i < count; ++i) to[i] = relu && totals[i] < 0 ? 0 : totals[i];
  }
};

}  // namespace

Step CpuExecutable::prepare(const Gemm& op) {
  use(op.weight);
  const int bias = use(op.bias);
  const Buffer input = buffer(home_[op.input]);
  const LinearLayer layer(kernels_, matrixOf(op), input, buffer(op.output), batch_, op.relu,
                          pool_.threads());
  const size_t scratch = scratch_[op.output];
  std::atomic<ptrdiff_t>& columnsRead = columnsRead_[op.output];
  return [=, this, &columnsRead](const Run& run) {
    columnsRead = 0;
    auto* sums = reinterpret_cast<float*>(run.arena + scratch);
    const float* biases = bias == kNone ? nullptr : parameters_.dense(bias);
    pool_.run(static_cast<size_t>(layer.tasks()), [&](size_t index) {
      const LinearLayer::Task task = layer.taskAt(index);
      const ptrdiff_t read = layer.multiply(run.arena, task, sums);
      if (task.strip == 0 && task.piece == 0) columnsRead += read;  // the others read the same
    });
    const ptrdiff_t blocks = divideUp(layer.output.channels, kOutputs);
    pool_.run(static_cast<size_t>(layer.rows * blocks), [&](size_t index) {
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

/** Returns the matrix in the order of the input's bytes, which may be (N, H, W, C). */
std::shared_ptr<const PackedMatrix> CpuExecutable::matrixOf(const Gemm& op) {
  return parameters_.matrix(op.weight, static_cast<size_t>(buffer(home_[op.input]).channels));
}

size_t CpuExecutable::scratchFloats(const Gemm& op) {
  const LinearLayer layer(kernels_, matrixOf(op), {}, {}, batch_, op.relu, pool_.threads());
  return checkedMultiply(static_cast<size_t>(layer.parts() * batch_),
                         static_cast<size_t>(layer.sumStride()));
}

}  // namespace vgg::cpu
