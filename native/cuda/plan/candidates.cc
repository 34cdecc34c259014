#include "cuda/plan/candidates.h"

#include <bit>

namespace vgg::cuda {
namespace {

/** Returns the only form that cuDNN's convolutions may take, if one is forced. */
std::optional<Form> onlyForm(ForcedForm forced) {
  switch (forced) {
    case ForcedForm::kPlain:
      return Form::kPlain;
    case ForcedForm::kFused:
      return Form::kFused;
    default:
      return std::nullopt;
  }
}

}  // namespace

bool isGemv(int64_t batch) {
  constexpr int64_t kMaxColumns = 8;  // the widest kernel's
  return batch <= kMaxColumns && std::has_single_bit(static_cast<uint64_t>(batch));
}

bool isSparse(const Gemm& op, const Choices& choices, ForcedLinear forced) {
  constexpr size_t kMinWeight = size_t{64} << 20;  // bytes
  const Buffer& input = choices.buffers[op.input];
  const Buffer& output = choices.buffers[op.output];
  if (input.batch != 1 || forced == ForcedLinear::kDense) return false;
  const auto weights = static_cast<size_t>(output.padded * input.pixels() * input.padded);
  return forced == ForcedLinear::kSparse ||
         (choices.isRectified[op.input] && weights * byteSize(input.type) >= kMinWeight);
}

Forms formsOf(const Conv2d& conv, const Choices& choices, const std::vector<ParameterSpec>& specs,
              Precision precision, ForcedForm forced) {
  const Shape& shape = specs[conv.weight].shape;
  const Buffer& input = choices.buffers[conv.input];
  const Buffer& output = choices.buffers[conv.output];
  Forms forms{{input.batch, input.padded, input.height, input.width, output.padded, shape[2],
               shape[3], conv.stride, conv.padding, conv.relu, cudnnType(precision)},
              {Form::kFused, Form::kPlain}};
  // Our pool adds the bias in the same pass, so the plain form costs nothing more, and it has the
  // most engines.
  if (choices.pooledBy[conv.output] != nullptr) forms.forms = {Form::kPlain, Form::kFused};
  if (const std::optional<Form> only = onlyForm(forced)) {
    forms.isForced = true;
    forms.forms = {*only};
  }
  return forms;
}

}  // namespace vgg::cuda
