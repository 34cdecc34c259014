// Makes execution plans from an engine configuration or from their own JSON text, and runs them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cudnn/cudnn.h"
#include "memory.h"

namespace fake {
namespace {

std::string toJson(const Descriptor& plan) {
  std::string text = "{\"fakeCudnnPlan\": 1, \"version\": " + std::to_string(cudnnVersion()) +
                     ", \"deviceVer\": " + std::to_string(plan.capability * 10) +
                     ", \"engine\": " + std::to_string(plan.engine.id) + ", \"graph\": [";
  const char* separator = "";
  for (const int64_t number : plan.graph.numbers()) {
    text += separator + std::to_string(number);
    separator = ", ";
  }
  return text + "]}";
}

// The numbers after "key": one number, or a list in brackets.
std::vector<int64_t> numbersAfter(const std::string& text, const char* key) {
  const size_t at = text.find(std::string("\"") + key + "\": ");
  if (at == std::string::npos) return {};
  const char* from = text.c_str() + at + std::strlen(key) + 4;
  const bool list = *from == '[';
  if (list) ++from;
  std::vector<int64_t> numbers;
  for (;;) {
    char* end = nullptr;
    const int64_t number = std::strtoll(from, &end, 10);
    if (end == from) break;
    numbers.push_back(number);
    if (!list || *end != ',') break;
    from = end + 1;
  }
  return numbers;
}

int fromJson(Descriptor& plan) {
  const auto& bytes = plan.values.at(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION).bytes;
  const std::string text(bytes.begin(), bytes.end());
  const auto version = numbersAfter(text, "version");
  const auto device = numbersAfter(text, "deviceVer");
  const auto engine = numbersAfter(text, "engine");
  const auto graph = ConvolutionGraph::fromNumbers(numbersAfter(text, "graph"));
  if (!text.starts_with("{\"fakeCudnnPlan\": 1, ") || text.back() != '}' || version.size() != 1 ||
      device.size() != 1 || engine.size() != 1 || !graph)
    return refuse(kBadParam, "plan: broken JSON");
  if (version[0] != cudnnVersion())
    return refuse(kCudnnSerializationVersionMismatch, "plan: JSON of another cuDNN");
  if (device[0] != plan.capability * 10)
    return refuse(kNotSupportedArchMismatch, "plan: JSON for another architecture");
  const auto found = engineById(*graph, plan.capability, engine[0]);
  if (!found) return refuse(kBadParam, "plan: JSON with an unknown engine");
  plan.graph = *graph;
  plan.engine = *found;
  return toJson(plan) == text ? CUDNN_STATUS_SUCCESS : refuse(kBadParam, "plan: broken JSON");
}

}  // namespace

int cudnnVersion() {
  static const int version = [] {
    const char* text = std::getenv("FAKE_CUDNN_VERSION");
    return text && *text ? std::atoi(text) : 91900;
  }();
  return version;
}

int finalizePlan(Descriptor& d) {
  const bool hasHandle = d.has(CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
  const bool hasDevice = d.has(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (hasHandle == hasDevice)
    return refuse(kBadParamNullPointer, "plan: Expected a handle or DEVICEPROP, and not both");
  if (hasHandle) {
    d.handle = d.get<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
    const auto handle = find<CudnnHandle>(d.handle, "finalize of an execution plan");
    if (!handle) return refuse(kBadParam, "plan: a handle that is not alive");
    if (contextOf(handle->device)->lost)
      return refuse(CUDNN_STATUS_EXECUTION_FAILED, "plan: the device is lost");
    d.capability = deviceCapability();
  } else {
    d.capability = d.child(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)->capability;
  }
  const bool hasConfig = d.has(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (hasConfig == d.has(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION))
    return refuse(kBadParam, "plan: Expected an engine configuration or JSON, and not both");
  if (hasConfig) {
    const Descriptor& config = *d.child(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    if (config.capability != d.capability)
      return refuse(kNotSupportedArchMismatch, "plan: the configuration is for another GPU");
    d.graph = config.graph;
    d.engine = config.engine;
  } else if (const int status = fromJson(d)) {
    return status;
  }
  if (d.engine.finalizeStatus != CUDNN_STATUS_SUCCESS)
    return refuse(d.engine.finalizeStatus, "plan: the engine does not support this shape");
  d.json = toJson(d);
  return CUDNN_STATUS_SUCCESS;
}

double convolutionCost(const ConvolutionGraph& graph, const Engine& engine) {
  const ConvolutionShape& s = graph.shape;
  const Window& window = s.window;
  const double outputs =
      static_cast<double>(s.n * s.k * window.outputs(0, s.h) * window.outputs(1, s.w));
  const double flops = 2 * outputs * static_cast<double>(s.c * window.size[0] * window.size[1]);
  return 3000 + engine.extraNanoseconds + flops / engine.flopsPerNanosecond;
}

namespace {

std::vector<float> widened(const ConvolutionGraph& graph, int64_t id, const void* from,
                           Rounding rounding) {
  std::vector<float> values(graph.elements(id));
  parallelFor(values.size() / 4096 + 1, [&](size_t begin, size_t end) {
    const size_t first = begin * 4096;
    const size_t count = std::min(end * 4096, values.size()) - first;
    widen(static_cast<const char*>(from) + first * sizeOf(graph.typeOf(id)), graph.typeOf(id),
          count, rounding, values.data() + first);
  });
  return values;
}

void compute(const ConvolutionGraph& graph, Rounding rounding,
             const std::map<int64_t, void*>& pointers) {
  const auto read = [&](int64_t id, Rounding r) { return widened(graph, id, pointers.at(id), r); };
  const ConvolutionShape& s = graph.shape;
  std::vector<float> values(graph.elements(graph.y));
  convolve(s, read(graph.x, rounding).data(), read(graph.w, rounding).data(), values.data());
  if (graph.hasBias) {
    const auto bias = read(graph.bias, Rounding::kNone);
    for (size_t i = 0; i < values.size(); i += bias.size())
      for (size_t k = 0; k < bias.size(); ++k) values[i + k] += bias[k];
  }
  if (graph.hasRelu)
    for (float& value : values) value = value < 0 ? 0 : value;  // keeps NaN
  narrow(values.data(), graph.type, values.size(), pointers.at(graph.y));
}

/** Changes the last bits in each run, like an engine that adds in no fixed order. */
void vary(float* values, size_t count) {
  static std::atomic<size_t> run{0};
  for (size_t i = run++ % 7; i < count; i += 7) values[i] *= 1 + 0x1p-23F;
}

/** Moves each output to the position of the one before. */
void shift(void* values, size_t bytes, size_t elementBytes) {
  auto* first = static_cast<char*>(values);
  std::rotate(first, first + elementBytes, first + bytes);
}

}  // namespace

void executeConvolution(const ConvolutionGraph& graph, const Engine& engine, int device,
                        const std::map<int64_t, void*>& pointers, void* workspace) {
  const auto bytesOf = [&](int64_t id) {
    return static_cast<size_t>(graph.elements(id)) * sizeOf(graph.typeOf(id));
  };
  const auto overlaps = [](const void* a, size_t aBytes, const void* b, size_t bBytes) {
    return a < static_cast<const char*>(b) + bBytes && b < static_cast<const char*>(a) + aBytes;
  };
  void* const y = pointers.at(graph.y);
  const auto workspaceBytes = static_cast<size_t>(engine.workspaceBytes);
  for (const auto& [id, pointer] : pointers) {
    requireDeviceRange(device, pointer, bytesOf(id),
                       "cudnnBackendExecute, tensor " + std::to_string(id));
    if (id != graph.y && overlaps(pointer, bytesOf(id), y, bytesOf(graph.y)))
      misuse("cudnnBackendExecute: the output overlaps tensor " + std::to_string(id));
    if (workspaceBytes > 0 && overlaps(pointer, bytesOf(id), workspace, workspaceBytes))
      misuse("cudnnBackendExecute: the workspace overlaps tensor " + std::to_string(id));
  }
  requireDeviceRange(device, workspace, workspaceBytes, "cudnnBackendExecute, workspace");
  Memo& memo = contextOf(device)->memo;
  Signature result;  // equal for all engines that round alike
  result.add(engine.rounding);
  for (const int64_t number : graph.numbers()) result.add(number);
  std::vector<Interval> reads;
  for (const auto& [id, pointer] : pointers) {
    result.add(id).add(pointer);
    if (id != graph.y) reads.push_back(Interval::of(pointer, bytesOf(id)));
  }
  if (engine.writesWorkspace) spoil(memo, workspace, workspaceBytes);
  const Interval written = Interval::of(y, bytesOf(graph.y));
  if (!memo.redo(result.value())) {
    compute(graph, engine.rounding, pointers);
    memo.did(result.value(), std::move(reads), {written}, true);
  }
  if (engine.isWrong) {
    shift(y, bytesOf(graph.y), sizeOf(graph.type));
    memo.wrote({written});
  }
  if (std::count(engine.numericalNotes.begin(), engine.numericalNotes.end(),
                 CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == 0)
    return;
  vary(static_cast<float*>(y), static_cast<size_t>(graph.elements(graph.y)));
  memo.wrote({written});
}

}  // namespace fake
