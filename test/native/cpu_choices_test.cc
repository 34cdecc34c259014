// What is decided about a program before a back end has parameters: what is folded, fused and
// shared, and where values lie.
#include <algorithm>

#include "core/fold.h"
#include "cpu/choices.h"
#include "cpu/instruction_set.h"
#include "expect.h"

namespace vgg::cpu {
namespace {

// The values, by the operation that computes them.
enum : int { kPixels, kNormalized, kConvolved, kNormed, kPooled, kFlat, kScores, kBest, kPlaces };

struct Sample {
  Program program{.values = {{{16, 16, 3}, DType::kUint8},
                             {{3, 16, 16}, DType::kFloat32},
                             {{32, 16, 16}, DType::kFloat32},
                             {{32, 16, 16}, DType::kFloat32},
                             {{32, 8, 8}, DType::kFloat32},
                             {{2048}, DType::kFloat32},
                             {{10}, DType::kFloat32},
                             {{3}, DType::kFloat32},
                             {{3}, DType::kInt32}},
                  .ops = {Normalize{kPixels, kNormalized, {0, 0, 0}, {1, 1, 1}},
                          Conv2d{kNormalized, kConvolved, 0, kNone, 1, 1, false},
                          BatchNorm{kConvolved, kNormed, 1, 2, 3, 4, 1e-5F, true},
                          MaxPool2d{kNormed, kPooled, 2, 2, 0}, Flatten{kPooled, kFlat},
                          Gemm{kFlat, kScores, 5, 6, false}, TopK{kScores, kBest, kPlaces, 3}},
                  .inputs = {kPixels},
                  .outputs = {kBest, kPlaces}};
  std::vector<ParameterSpec> parameters{
      {"filter", {32, 3, 3, 3}}, {"scale", {32}}, {"shift", {32}}, {"mean", {32}}, {"var", {32}},
      {"weight", {10, 2048}},    {"bias", {10}}};
};

void operationsNameTheirValues() {
  const Program program = Sample().program;
  const auto listOf = [](const Indices& indices) {
    return std::vector<int>(indices.begin(), indices.end());
  };
  EXPECT(listOf(parametersOf(program.ops[1])) == std::vector<int>{0});  // no bias
  EXPECT(listOf(parametersOf(program.ops[5])) == (std::vector<int>{5, 6}));
  EXPECT(listOf(inputsOf(program.ops[6])) == std::vector<int>{kScores});
  EXPECT(listOf(outputsOf(program.ops[6])) == (std::vector<int>{kBest, kPlaces}));
}

void normsAreFoldedBesideTheProgram() {
  const FoldedProgram folded = foldBatchNorm(Sample().program);
  EXPECT(folded.program.ops.size() == 6);
  const auto& conv = std::get<Conv2d>(folded.program.ops[1]);
  EXPECT(conv.output == kNormed && conv.relu);
  EXPECT(folded.norms[kNormed] && folded.norms[kNormed]->variance == 4);
  EXPECT(!folded.norms[kConvolved] && !folded.norms[kScores]);
  EXPECT(parametersOf(folded) == (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));

  // A value that is an output too stays.
  Program seen = Sample().program;
  seen.outputs.push_back(kConvolved);
  EXPECT(foldBatchNorm(seen).program.ops.size() == 7);
  EXPECT(!foldBatchNorm(seen).norms[kNormed]);
}

void poolsAndFlattensNeedNoStep(const Kernels& kernels) {
  const Sample sample;
  const Program program = foldBatchNorm(sample.program).program;
  const Choices choices = choose(program, sample.parameters, false, 4, kernels, 2);
  const auto* pool = std::get_if<MaxPool2d>(&program.ops[2]);
  EXPECT(choices.pooledBy[kNormed] == pool && choices.lastValueOf(kNormed) == kPooled);
  EXPECT(choices.isPartOfAnotherStep(program.ops[2]) &&
         choices.isPartOfAnotherStep(program.ops[3]));
  EXPECT(choices.storage[kFlat] == kPooled);
  EXPECT(choices.buffers[kFlat].offset == choices.buffers[kPooled].offset);
  EXPECT(choices.buffers[kFlat].channels == 32 && choices.linear.at(kScores).columns == 2048);
  // The first layers run image by image: only the last of their values holds the batch.
  EXPECT(choices.imagewise == 3 && choices.imagesAtOnce == 1);
  EXPECT(choices.buffers[kNormalized].images == 1 && choices.buffers[kPooled].images == 4);
  EXPECT(choices.buffers[kNormalized].border == 1);

  // Room for what lives together, but not for the value between convolution and pool.
  const size_t normalized = sizeof(float) * 3 * 18 * 18;
  const size_t pooled = sizeof(float) * 4 * 32 * 8 * 8;
  const size_t between = sizeof(float) * 32 * 16 * 16;
  EXPECT(choices.arenaBytes >= normalized + pooled);
  EXPECT(choices.arenaBytes < normalized + pooled + between);
  const size_t a = choices.buffers[kNormalized].offset;
  const size_t b = choices.buffers[kPooled].offset;
  EXPECT(a + normalized <= b || b + pooled <= a);
}

/** With an output between them, a convolution and a pool are two steps. */
void visibleValuesStay(const Kernels& kernels) {
  Sample sample;
  sample.program.outputs.push_back(kNormed);
  sample.program.outputs.push_back(kFlat);
  const Program program = foldBatchNorm(sample.program).program;
  const Choices choices = choose(program, sample.parameters, false, 1, kernels, 2);
  EXPECT(std::ranges::none_of(program.ops,
                              [&](const Op& op) { return choices.isPartOfAnotherStep(op); }));
  EXPECT(choices.pooledBy[kNormed] == nullptr && choices.storage[kFlat] == kFlat);
  EXPECT(choices.imagewise == 0 && choices.imagesAtOnce == 1);
}

}  // namespace

void testChoices() {
  operationsNameTheirValues();
  normsAreFoldedBesideTheProgram();
  for (const Kernels* kernels : availableKernels()) {
    poolsAndFlattensNeedNoStep(*kernels);
    visibleValuesStay(*kernels);
  }
}

}  // namespace vgg::cpu
