#include "core/fold.h"

namespace vgg {

std::vector<int> countUses(const Program& program) {
  std::vector<int> uses(program.values.size(), 0);
  for (const Op& op : program.ops) {
    for (const int value : inputsOf(op)) ++uses[value];
  }
  for (const int output : program.outputs) ++uses[output];
  return uses;
}

FoldedProgram foldBatchNorm(const Program& program) {
  const std::vector<int> uses = countUses(program);
  std::vector<int> producer(program.values.size(), kNone);  // index into folded.ops
  // Not as one braced list: if a member cannot be allocated, GCC 12 destroys members of a nested
  // aggregate that were never made.
  FoldedProgram result;
  result.program.values = program.values;
  result.program.inputs = program.inputs;
  result.program.outputs = program.outputs;
  result.norms.resize(program.values.size());
  std::vector<Op>& ops = result.program.ops;
  for (const Op& op : program.ops) {
    if (const auto* norm = std::get_if<BatchNorm>(&op); norm != nullptr && uses[norm->input] == 1) {
      const int before = producer[norm->input];
      auto* conv = before == kNone ? nullptr : std::get_if<Conv2d>(&ops[before]);
      if (conv != nullptr && !conv->relu && !result.norms[conv->output]) {
        conv->output = norm->output;
        conv->relu = norm->relu;
        result.norms[conv->output] = *norm;
        producer[norm->output] = before;
        continue;
      }
    }
    for (const int value : outputsOf(op)) producer[value] = static_cast<int>(ops.size());
    ops.push_back(op);
  }
  return result;
}

std::vector<int> parametersOf(const Conv2d& conv, const FoldedNorm& norm) {
  const Indices own = parametersOf(conv);
  std::vector<int> all(own.begin(), own.end());
  if (norm) {
    for (const int parameter : parametersOf(*norm)) all.push_back(parameter);
  }
  return all;
}

std::vector<int> parametersOf(const FoldedProgram& folded) {
  std::vector<int> all;
  for (const Op& op : folded.program.ops) {
    for (const int parameter : parametersOf(op)) all.push_back(parameter);
    const FoldedNorm& norm = folded.norms[outputOf(op)];
    if (!norm) continue;
    for (const int parameter : parametersOf(*norm)) all.push_back(parameter);
  }
  return all;
}

}  // namespace vgg
