#include "cpu/executable.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/error.h"

namespace vgg::cpu {

std::byte* Run::bytes(const Binding& binding) {
  return binding.device == nullptr ? binding.host
                                   : static_cast<HostMemory*>(binding.device)->data();
}

void clearBorder(const Buffer& buffer, std::byte* arena, ptrdiff_t n, ptrdiff_t top,
                 ptrdiff_t bottom) {
  if (buffer.border + buffer.rowsBelow + buffer.columnsBeside == 0) return;
  const ptrdiff_t left = buffer.border * buffer.channels;
  const ptrdiff_t right = (buffer.border + buffer.columnsBeside) * buffer.channels;
  for (ptrdiff_t y = top; y < bottom; ++y) {
    std::fill_n(buffer.pixel(arena, n, y, -buffer.border), left, 0.0F);
    std::fill_n(buffer.pixel(arena, n, y, buffer.width), right, 0.0F);
  }
  if (top == 0) {
    std::fill_n(buffer.pixel(arena, n, -buffer.border, -buffer.border),
                buffer.border * buffer.rowStride(), 0.0F);
  }
  if (bottom == buffer.height) {
    std::fill_n(buffer.pixel(arena, n, buffer.height, -buffer.border),
                (buffer.border + buffer.rowsBelow) * buffer.rowStride(), 0.0F);
  }
}

CpuExecutable::CpuExecutable(const Program& program, std::shared_ptr<CpuParameters> parameters,
                             size_t batch, const Kernels& kernels, ThreadPool& pool,
                             SharedArena& arena)
    : folded_(foldBatchNorm(program)),
      program_(folded_.program),
      owner_(std::move(parameters)),
      parameters_(*owner_),
      batch_(static_cast<ptrdiff_t>(batch)),
      kernels_(kernels),
      pool_(pool),
      arena_(arena),
      choices_(choose(program_, parameters_.specs(), parameters_.isHalf(), batch, kernels,
                      pool.threads())),
      columnsRead_(program_.values.size()),
      used_(parametersOf(folded_)) {
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    const int value = program_.inputs[i];
    if (!isUnplaced(value))
      imagewiseSteps_.push_back({{StepRole::kInput, value}, prepareInput(i), {}});
  }
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const Op& op = program_.ops[i];
    if (choices_.isPartOfAnotherStep(op)) continue;
    std::vector<LabelledStep>& steps = i < choices_.imagewise ? imagewiseSteps_ : steps_;
    steps.push_back({{StepRole::kOperation, choices_.lastValueOf(outputOf(op))},
                     std::visit([this](const auto& o) { return prepare(o); }, op),
                     workOf(op)});
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i)
    steps_.push_back({{StepRole::kOutput, program_.outputs[i]}, prepareOutput(i), {}});
  arena_.add(choices_.arenaBytes);
}

CpuExecutable::~CpuExecutable() { arena_.remove(choices_.arenaBytes); }

void CpuExecutable::run(size_t, const std::vector<Binding>& inputs,
                        const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                        Completion done) noexcept {
  std::exception_ptr failure;
  try {
    runSteps(inputs, outputs, cancelled, nullptr);
  } catch (...) {
    failure = std::current_exception();
  }
  done(failure);
}

std::vector<StepTime> CpuExecutable::profile(size_t, const std::vector<Binding>& inputs,
                                             const std::vector<Binding>& outputs,
                                             const std::atomic<bool>& cancelled) {
  std::vector<StepTime> times;
  for (const auto* steps : {&imagewiseSteps_, &steps_}) {
    for (const LabelledStep& step : *steps) times.push_back({step.label, 0, std::nullopt});
  }
  runSteps(inputs, outputs, cancelled, times.data());
  auto* time = times.data();
  for (const auto* steps : {&imagewiseSteps_, &steps_}) {
    for (const LabelledStep& step : *steps) {
      if (step.work) time->work = step.work();
      ++time;
    }
  }
  return times;
}

Work CpuExecutable::workOf(const Op& op) {
  if (const auto* conv = std::get_if<Conv2d>(&op)) return workOf(*conv);
  if (const auto* gemm = std::get_if<Gemm>(&op)) return workOf(*gemm);
  return nullptr;
}

void CpuExecutable::runSteps(const std::vector<Binding>& inputs,
                             const std::vector<Binding>& outputs,
                             const std::atomic<bool>& cancelled, StepTime* times) {
  using Clock = std::chrono::steady_clock;
  parameters_.refresh(used_);
  const std::shared_ptr<HostMemory> memory = arena_.memory();
  const auto runAll = [&](const std::vector<LabelledStep>& steps, ptrdiff_t first, ptrdiff_t last,
                          StepTime* time) {
    const Run run{memory->data(), inputs, outputs, first, last};
    for (const LabelledStep& step : steps) {
      if (cancelled.load()) throw Error(Code::kAborted, "The run was aborted");
      const Clock::time_point start = Clock::now();
      step.function(run);
      if (time == nullptr) continue;
      const std::chrono::duration<double, std::milli> taken = Clock::now() - start;
      (time++)->milliseconds += taken.count();
    }
  };
  const ptrdiff_t atOnce = choices_.imagesAtOnce;
  for (ptrdiff_t first = 0; first < batch_; first += atOnce)
    runAll(imagewiseSteps_, first, std::min(first + atOnce, batch_), times);
  runAll(steps_, 0, batch_, times == nullptr ? nullptr : times + imagewiseSteps_.size());
}

size_t CpuExecutable::inputIndex(int value) const {
  const auto at = std::find(program_.inputs.begin(), program_.inputs.end(), value);
  if (at == program_.inputs.end())
    throw Error(Code::kInternal, "Expected a uint8 value to be an input");
  return static_cast<size_t>(at - program_.inputs.begin());
}

/** Makes a step that applies kernels_.affine to each pixel. scale and shift hold one number per
 * channel, or are empty. */
Step CpuExecutable::perPixelRow(const Buffer& input, const Buffer& output, std::vector<float> scale,
                                std::vector<float> shift, bool relu) {
  return [=, this](const Run& run) {
    forEachRow(run, output.height, [&](ptrdiff_t n, ptrdiff_t y) {
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
