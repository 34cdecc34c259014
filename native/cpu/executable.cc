#include "cpu/executable.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/arena.h"
#include "core/error.h"
#include "core/fold.h"

namespace vgg::cpu {

std::byte* Run::bytes(const Binding& binding) {
  return binding.device == nullptr ? binding.host
                                   : static_cast<HostMemory*>(binding.device)->data();
}

void clearBorder(const Buffer& buffer, std::byte* arena, ptrdiff_t n, ptrdiff_t top,
                 ptrdiff_t bottom) {
  if (buffer.border == 0) return;
  const ptrdiff_t side = buffer.border * buffer.channels;
  for (ptrdiff_t y = top; y < bottom; ++y) {
    std::fill_n(buffer.pixel(arena, n, y, -buffer.border), side, 0.0F);
    std::fill_n(buffer.pixel(arena, n, y, buffer.width), side, 0.0F);
  }
  const ptrdiff_t rows = buffer.border * buffer.rowStride();
  if (top == 0) std::fill_n(buffer.pixel(arena, n, -buffer.border, -buffer.border), rows, 0.0F);
  if (bottom == buffer.height)
    std::fill_n(buffer.pixel(arena, n, buffer.height, -buffer.border), rows, 0.0F);
}

CpuExecutable::CpuExecutable(const Program& program, std::shared_ptr<CpuParameters> parameters,
                             size_t batch, const Kernels& kernels, ThreadPool& pool,
                             SharedArena& arena)
    : program_(foldBatchNorm(program)),
      owner_(std::move(parameters)),
      parameters_(*owner_),
      batch_(static_cast<ptrdiff_t>(batch)),
      kernels_(kernels),
      pool_(pool),
      arena_(arena),
      buffers_(program_.values.size()),
      home_(program_.values.size()) {
  choose();
  place();
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    if (!isExternal(program_.inputs[i])) steps_.push_back(prepareInput(i));
  }
  for (const Op& op : program_.ops) {
    const auto* flatten = std::get_if<Flatten>(&op);
    if (flatten != nullptr && home_[flatten->output] != flatten->output) continue;
    steps_.push_back(std::visit([this](const auto& o) { return prepare(o); }, op));
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) steps_.push_back(prepareOutput(i));
  arena_.add(arenaBytes_);
}

CpuExecutable::~CpuExecutable() { arena_.remove(arenaBytes_); }

void CpuExecutable::run(size_t, const std::vector<Binding>& inputs,
                        const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                        Completion done) noexcept {
  std::exception_ptr failure;
  try {
    parameters_.refresh(used_);
    const std::shared_ptr<HostMemory> memory = arena_.memory();
    const Run run{memory->data(), inputs, outputs};
    for (const Step& step : steps_) {
      if (cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
      step(run);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  done(failure);
}

/** The choices of this back end, all here: the layout of each value, and which flatten needs no
 * step. */
void CpuExecutable::choose() {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const Shape& shape = program_.values[i].shape;
    Buffer& buffer = buffers_[i];
    buffer.batch = batch_;
    buffer.channels = static_cast<ptrdiff_t>(shape[0]);
    if (shape.size() == 3) {
      buffer.height = static_cast<ptrdiff_t>(shape[1]);
      buffer.width = static_cast<ptrdiff_t>(shape[2]);
    }
  }
  for (const Op& op : program_.ops) {
    if (const auto* conv = std::get_if<Conv2d>(&op)) {
      Buffer& input = buffers_[conv->input];
      input.border = std::max<ptrdiff_t>(input.border, conv->padding);
    }
  }

  // A flattened value that only linear layers read keeps its bytes: the layers' weights are packed
  // in its order.
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
    if (onlyGemm && buffers_[flatten->input].border == 0) home_[flatten->output] = flatten->input;
  }
}

/** One arena for all values: liveness → offsets. Step 0 takes the inputs, step i + 1 is op i, the
 * last gives the outputs. */
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
    forEachInput(program_.ops[i], [&](int value) { touch(value, step); });
    forEachOutput(program_.ops[i], [&](int value) { touch(value, step); });
  }
  for (const int output : program_.outputs) touch(output, last);

  for (size_t i = 0; i < lives.size(); ++i) {
    const bool isPlaced = home_[i] == static_cast<int>(i) && !isExternal(static_cast<int>(i));
    if (!isPlaced || lives[i].first > lives[i].last) continue;
    const Buffer& buffer = buffers_[i];
    const auto side = [&](ptrdiff_t length) {
      return static_cast<size_t>(length + 2 * buffer.border);
    };
    const size_t pixels = checkedMultiply(side(buffer.height), side(buffer.width));
    const size_t image =
        checkedMultiply(pixels, static_cast<size_t>(buffer.channels) * sizeof(float));
    lives[i].bytes = checkedMultiply(image, static_cast<size_t>(batch_));
  }
  const ArenaPlan plan = planArena(lives);
  arenaBytes_ = plan.bytes;
  for (size_t i = 0; i < lives.size(); ++i) buffers_[i].offset = plan.offsets[home_[i]];
}

size_t CpuExecutable::inputIndex(int value) const {
  const auto at = std::find(program_.inputs.begin(), program_.inputs.end(), value);
  if (at == program_.inputs.end())
    throw Error(Code::kInternal, "Expected a uint8 value to be an input");
  return static_cast<size_t>(at - program_.inputs.begin());
}

int CpuExecutable::use(int parameter) {
  if (parameter != kNone) used_.push_back(parameter);
  return parameter;
}

/** A step that applies kernels_.affine to each pixel. scale and shift hold one number per channel,
 * or nothing. */
Step CpuExecutable::perPixelRow(const Buffer& input, const Buffer& output, std::vector<float> scale,
                                std::vector<float> shift, bool relu) {
  return [=, this](const Run& run) {
    pool_.run(static_cast<size_t>(output.batch * output.height), [&](size_t task) {
      const ptrdiff_t n = static_cast<ptrdiff_t>(task) / output.height;
      const ptrdiff_t y = static_cast<ptrdiff_t>(task) % output.height;
      clearBorder(output, run.arena, n, y, y + 1);
      for (ptrdiff_t x = 0; x < output.width; ++x) {
        kernels_.affine(output.pixel(run.arena, n, y, x), input.pixel(run.arena, n, y, x),
                        scale.empty() ? nullptr : scale.data(),
                        shift.empty() ? nullptr : shift.data(), output.channels, relu);
      }
    });
  };
}

}  // namespace vgg::cpu
