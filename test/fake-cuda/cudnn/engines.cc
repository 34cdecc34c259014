// The engines that the fake offers for a graph. Unsuitable ones come first, to test the caller.
#include <cstdlib>

#include "cudnn/cudnn.h"

namespace fake {
namespace {

constexpr int64_t kMiB = 1 << 20;

std::vector<Engine> floatEngines(int capability) {
  std::vector<Engine> all;
  all.push_back({.id = 10,
                 .numericalNotes = {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS},
                 .behaviorNotes = {},
                 .rounding = Rounding::kHalf,
                 .flopsPerNanosecond = 6e5});
  if (capability >= 80)
    all.push_back({.id = 11,
                   .numericalNotes = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE},
                   .behaviorNotes = {},
                   .rounding = Rounding::kTf32,
                   .flopsPerNanosecond = 3e5});
  all.push_back({.id = 12,
                 .numericalNotes = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC},
                 .behaviorNotes = {},
                 .flopsPerNanosecond = 9e4});
  all.push_back(
      {.id = 13, .numericalNotes = {}, .behaviorNotes = {}, .finalizeStatus = kNotSupportedShape});
  all.push_back({.id = 14,
                 .numericalNotes = {CUDNN_NUMERICAL_NOTE_FFT},
                 .behaviorNotes = {},
                 .workspaceBytes = 2048 * kMiB,
                 .flopsPerNanosecond = 8e4});
  all.push_back({.id = 15, .numericalNotes = {}, .behaviorNotes = {}, .flopsPerNanosecond = 4e4});
  all.push_back({.id = 17,
                 .numericalNotes = {},
                 .behaviorNotes = {},
                 .flopsPerNanosecond = 7e4,
                 .isWrong = true});
  // The faster engine for large problems.
  all.push_back({.id = 16,
                 .numericalNotes = {},
                 .behaviorNotes = {},
                 .workspaceBytes = kMiB,
                 .writesWorkspace = true,
                 .flopsPerNanosecond = 5e4,
                 .extraNanoseconds = 2000});
  return all;
}

std::vector<Engine> sixteenBitEngines() {
  const std::vector<int> tensorCore{CUDNN_NUMERICAL_NOTE_TENSOR_CORE};
  return {{.id = 23,  // finalises and fails when it runs
           .numericalNotes = tensorCore,
           .behaviorNotes = {},
           .executeStatus = CUDNN_STATUS_EXECUTION_FAILED,
           .flopsPerNanosecond = 8e5},
          {.id = 25,
           .numericalNotes = tensorCore,
           .behaviorNotes = {},
           .flopsPerNanosecond = 9e5,
           .isWrong = true},
          {.id = 20, .numericalNotes = tensorCore, .behaviorNotes = {}, .flopsPerNanosecond = 5e5},
          {.id = 21,
           .numericalNotes = tensorCore,
           .behaviorNotes = {},
           .finalizeStatus = kNotSupportedShape},
          {.id = 22,
           .numericalNotes = tensorCore,
           .behaviorNotes = {},
           .workspaceBytes = kMiB,
           .writesWorkspace = true,
           .flopsPerNanosecond = 6e5,
           .extraNanoseconds = 2000},
          {.id = 24,
           .numericalNotes = tensorCore,
           .behaviorNotes = {},
           .workspaceBytes = 13 * kMiB + 256,
           .writesWorkspace = true,
           .flopsPerNanosecond = 5.5e5}};
}

std::vector<Engine> compiledEngines() {
  std::vector<Engine> all;
  for (const int64_t id : {30, 31})
    all.push_back({.id = id,
                   .numericalNotes = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE},
                   .behaviorNotes = {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION},
                   .flopsPerNanosecond = id == 30 ? 3.5e5 : 3e5});
  return all;
}

bool needsCompilation(const ConvolutionGraph& graph) {
  return graph.hasBias && graph.biasType != graph.type;
}

}  // namespace

int findEngines(const ConvolutionGraph& graph, int mode, int capability,
                std::vector<Engine>* engines, std::string* why) {
  engines->clear();
  if (graph.type == Type::kBfloat16 && capability < 80) {
    *why = "bfloat16 needs compute capability 8.0";
    return kNotSupportedArchMismatch;
  }
  const int64_t whole = graph.type == Type::kFloat ? 4 : 8;
  const int64_t c = graph.shape.c;
  const bool few = c == 3 || (c == 4 && capability >= 80);
  if ((c % whole != 0 && !few) || graph.shape.k % whole != 0) {
    *why = "channels must be a multiple of " + std::to_string(whole) + " (or 3 of the input)";
    return kNotSupportedShape;
  }
  if (needsCompilation(graph)) {
    if (mode == CUDNN_HEUR_MODE_FALLBACK) return CUDNN_STATUS_SUCCESS;
    if (c == 3) {
      *why = "no engine for this pattern";
      return CUDNN_STATUS_NOT_SUPPORTED;
    }
    *engines = compiledEngines();
  } else if (mode == CUDNN_HEUR_MODE_FALLBACK) {
    engines->push_back(
        {.id = 0, .numericalNotes = {}, .behaviorNotes = {}, .flopsPerNanosecond = 1e4});
  } else {
    *engines = graph.type == Type::kFloat ? floatEngines(capability) : sixteenBitEngines();
  }
  if (std::getenv("FAKE_CUDNN_WRONG") != nullptr)
    for (Engine& engine : *engines) engine.isWrong = true;
  return CUDNN_STATUS_SUCCESS;
}

std::optional<Engine> engineById(const ConvolutionGraph& graph, int capability, int64_t id) {
  for (const int mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    std::vector<Engine> all;
    std::string why;
    findEngines(graph, mode, capability, &all, &why);
    for (const Engine& engine : all)
      if (engine.id == id) return engine;
  }
  return std::nullopt;
}

}  // namespace fake
