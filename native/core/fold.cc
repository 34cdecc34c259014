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

Program foldBatchNorm(const Program& program) {
  const std::vector<int> uses = countUses(program);
  std::vector<int> producer(program.values.size(), kNone);  // index into folded.ops
  Program folded{program.values, {}, program.inputs, program.outputs};
  for (const Op& op : program.ops) {
    if (const auto* norm = std::get_if<BatchNorm>(&op); norm != nullptr && uses[norm->input] == 1) {
      const int before = producer[norm->input];
      auto* conv = before == kNone ? nullptr : std::get_if<Conv2d>(&folded.ops[before]);
      if (conv != nullptr && !conv->relu && !conv->batchNorm) {
        conv->batchNorm = *norm;
        conv->output = norm->output;
        conv->relu = norm->relu;
        producer[norm->output] = before;
        continue;
      }
    }
    const int index = static_cast<int>(folded.ops.size());
    for (const int value : outputsOf(op)) producer[value] = index;
    folded.ops.push_back(op);
  }
  return folded;
}

}  // namespace vgg
