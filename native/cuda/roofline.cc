#include "cuda/roofline.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>

#include "cuda/nvidia/matmul.h"
#include "cuda/plan/choices.h"

namespace vgg::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTries = 5;
constexpr int kAlgorithms = 8;
constexpr size_t kWorkspace = size_t{32} << 20;
// Work is doubled until it takes the GPU this long. Launches and caches then hardly count. The
// doubling ends earlier if it has taken kPatience altogether.
constexpr double kLongEnoughMs = 2;
constexpr std::chrono::milliseconds kPatience{500};
constexpr int64_t kMinSide = 64, kMaxSide = 8192;
constexpr size_t kMinCopy = size_t{1} << 20, kMaxCopy = size_t{1} << 30;

/** Returns the best of kTries runs, after one that loads what the work needs. Returns nothing if
 * the work fails here. */
std::optional<double> milliseconds(Context& context, const std::function<void()>& work) {
  context.throwIfInterrupted();
  const Api& api = context.api();
  try {
    const Event start = context.makeEvent(CU_EVENT_DEFAULT);
    const Event end = context.makeEvent(CU_EVENT_DEFAULT);
    double best = std::numeric_limits<double>::infinity();
    work();
    for (int i = 0; i < kTries; ++i) {
      context.call(api.cuEventRecord, start.get(), context.compute());
      work();
      context.call(api.cuEventRecord, end.get(), context.compute());
      context.call(api.cuEventSynchronize, end.get());
      float taken = 0;
      context.call(api.cuEventElapsedTime, &taken, start.get(), end.get());
      best = std::min(best, static_cast<double>(taken));
    }
    return best;
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    api.cuStreamSynchronize(context.compute());
    return std::nullopt;
  }
}

/** Memory full of ordinary numbers: about 1 in float16, 0.01 in the other types. */
struct Numbers {
  Numbers(Context& context, size_t bytes) : memory(context, bytes, nullptr) {
    context.call(context.api().cuMemsetD8Async, memory.address(), 0x3C, bytes, context.compute());
    context.call(context.api().cuStreamSynchronize, context.compute());
  }
  [[nodiscard]] CUdeviceptr address() const { return memory.address(); }

  DeviceMemory memory;
};

double copyBytesPerSecond(Context& context) {
  const Clock::time_point start = Clock::now();
  double found = 0;
  for (size_t bytes = kMinCopy; bytes <= kMaxCopy; bytes *= 2) {
    const Numbers from(context, bytes);
    const Numbers to(context, bytes);
    const auto taken = milliseconds(context, [&] {
      context.call(context.api().cuMemcpyDtoDAsync_v2, to.address(), from.address(), bytes,
                   context.compute());
    });
    if (!taken) return 0;
    found = 2e3 * static_cast<double>(bytes) / *taken;
    if (*taken >= kLongEnoughMs || Clock::now() - start > kPatience) break;
  }
  return found;
}

double matmulFlopsPerSecond(Context& context, Precision precision) {
  const Type type = typeOf(precision);
  const Clock::time_point start = Clock::now();
  double best = 0;
  for (int64_t side = kMinSide; side <= kMaxSide; side *= 2) {
    const size_t bytes = static_cast<size_t>(side * side) * byteSize(type);
    const Numbers weight(context, bytes);
    const Numbers x(context, bytes);
    const Numbers y(context, bytes);
    const Numbers workspace(context, kWorkspace);
    const Matmul matmul(context, {side, side, side, type, type, precision == Precision::kTf32},
                        std::nullopt);
    std::optional<double> least;
    for (const auto& algorithm : matmul.algorithms(kWorkspace, kAlgorithms)) {
      const auto taken = milliseconds(context, [&] {
        matmul.run(algorithm.algo, weight.address(), x.address(), y.address(), workspace.address(),
                   algorithm.workspaceSize);
      });
      if (taken && (!least || *taken < *least)) least = taken;
    }
    if (!least) return 0;
    const auto products = static_cast<double>(side) * static_cast<double>(side * side);
    best = std::max(best, 2e3 * products / *least);
    if (*least >= kLongEnoughMs || Clock::now() - start > kPatience) break;
  }
  return best;
}

/** Returns 0 if the GPU or its libraries cannot run the work. */
double measured(Context& context, const std::function<double()>& measure) {
  try {
    return measure();
  } catch (const Error&) {
    context.throwIfLost();
    context.throwIfInterrupted();
    return 0;
  }
}

}  // namespace

Roofline measureRoofline(Context& context, Precision precision) {
  context.enter();
  return {measured(context, [&] { return matmulFlopsPerSecond(context, precision); }),
          measured(context, [&] { return copyBytesPerSecond(context); })};
}

}  // namespace vgg::cuda
