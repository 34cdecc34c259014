#include "cuda/ops/gemm/challenge.h"

#include <algorithm>
#include <cmath>

#include "cuda/known_numbers.h"
#include "cuda/lowering.h"

namespace vgg::cuda {
namespace {

// A second copy of the weight must make whole forwards faster by this factor.
constexpr double kForwardGain = 1.02;
// Relative to the greatest output. Sums in another order, rounded to bfloat16, differ by less, and
// wrong numbers by more.
constexpr double kTolerance = 0.02;

bool isNear(float a, float b, double allowed) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= allowed;  // the same infinity
}

/** Returns whether two kernels computed these outputs from the same layer and inputs. */
bool agree(const std::vector<float>& a, const std::vector<float>& b) {
  float greatest = 0;
  for (const float value : b) {
    if (std::isfinite(value)) greatest = std::max(greatest, std::abs(value));
  }
  return std::ranges::equal(a, b,
                            [&](float x, float y) { return isNear(x, y, greatest * kTolerance); });
}

/** Returns the challenger's value, computed by the steps before it and then `last`. */
std::vector<float> valueBy(const Step& last, const Challenger& challenger, Context& context,
                           Stopwatch& stopwatch, const Lowered& lowered) {
  const DeviceMemory workspace(context, lowered.workspaceBytes, nullptr);
  const Run run = stopwatch.trial(&workspace);
  const Buffer& output = challenger.output;
  const auto count = static_cast<size_t>(output.batch * output.pixels() * output.padded);
  poison(context, address(run, output), count * byteSize(output.type));
  for (size_t i = 0; i < challenger.index; ++i) lowered.steps[i].function(run);
  last(run);
  return download(context, address(run, output), dtypeOf(output.type), count);
}

/** Returns whether the challenger computes the same as the step that it may replace. Returns false
 * if that cannot be tried. */
bool isSame(const Challenger& challenger, Context& context, Stopwatch& stopwatch,
            const Lowered& lowered) {
  try {
    const auto by = [&](const Step& last) {
      return valueBy(last, challenger, context, stopwatch, lowered);
    };
    const std::vector<float> sparse = by(challenger.sparse.step);
    return agree(sparse, by(lowered.steps[challenger.index].function));
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    return false;
  }
}

}  // namespace

void settleChallenges(const Shared& shared, Stopwatch& stopwatch,
                      std::vector<Challenger>& challengers, Lowered& lowered) {
  stopwatch.fillInputs();
  const Step forward = [&](const Run& run) { lowered.run(run); };
  for (Challenger& challenger : challengers) {
    const bool isRight = isSame(challenger, shared.context, stopwatch, lowered);
    const std::optional<double> before = stopwatch.timeOf(forward, lowered.workspaceBytes);
    auto& [sparse, usedInputs] = challenger.sparse;
    Step& step = lowered.steps[challenger.index].function;
    step.swap(sparse);
    const std::optional<double> after =
        isRight ? stopwatch.timeOf(forward, lowered.workspaceBytes) : std::nullopt;
    if (!before || !after || *before < *after * kForwardGain) {
      step.swap(sparse);
      usedInputs = {};
      continue;
    }
    lowered.usedInputs[challenger.value] = std::move(usedInputs);
    shared.cache.write(challenger.key, kSparseText);
  }
}

}  // namespace vgg::cuda
