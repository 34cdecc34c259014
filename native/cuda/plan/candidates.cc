#include "cuda/plan/candidates.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace vgg::cuda {
namespace {

/** Empty where it is not set. */
std::string_view environment(const char* name, std::initializer_list<std::string_view> known) {
  const char* set = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here sets it
  const std::string_view value = set == nullptr ? "" : set;
  if (value.empty() || std::ranges::find(known, value) != known.end()) return value;
  std::string list;
  for (const std::string_view one : known) list.append(list.empty() ? "" : ", ").append(one);
  throw Error(Code::kUnsupported,
              "Expected one of " + list + " for " + name + " but received " + std::string(value));
}

/** The form that all convolutions of cuDNN's take. */
std::optional<Form> forcedForm() {
  for (const Form form : {Form::kPlain, Form::kFused}) {
    if (wantedForm() == nameOf(form)) return form;
  }
  return std::nullopt;
}

}  // namespace

bool isGemv(int64_t batch) {
  constexpr int64_t kMost = 8;  // columns of the widest kernel
  return batch <= kMost && std::has_single_bit(static_cast<uint64_t>(batch));
}

bool isSparse(const Gemm& op, const Choices& choices) {
  constexpr size_t kMinWeight = size_t{64} << 20;  // bytes
  const Buffer& input = choices.buffers[op.input];
  const Buffer& output = choices.buffers[op.output];
  if (input.batch != 1 || wantedLinear() == "dense") return false;
  const auto weights = static_cast<size_t>(output.padded * input.pixels() * input.padded);
  return wantedLinear() == "sparse" ||
         (choices.isRectified[op.input] && weights * byteSize(input.type) >= kMinWeight);
}

std::string_view wantedForm() {
  return environment("VGG_CUDA_FORM", {"plain", "fused", "cudnn", "direct"});
}

std::string_view wantedLinear() { return environment("VGG_CUDA_LINEAR", {"dense", "sparse"}); }

Forms formsOf(const Conv2d& conv, const Choices& choices, const std::vector<ParameterSpec>& specs,
              Precision precision) {
  const Shape& shape = specs[conv.weight].shape;
  const Buffer& input = choices.buffers[conv.input];
  const Buffer& output = choices.buffers[conv.output];
  Forms forms{{input.batch, input.padded, input.height, input.width, output.padded, shape[2],
               shape[3], conv.stride, conv.padding, conv.relu, cudnnType(precision)},
              {Form::kFused, Form::kPlain}};
  // Our pool adds the bias on its way, so that the plain form costs nothing more, and has the most
  // engines.
  if (choices.pooledBy[conv.output] != nullptr) forms.forms = {Form::kPlain, Form::kFused};
  if (const std::optional<Form> forced = forcedForm()) {
    forms.isForced = true;
    forms.forms = {*forced};
  }
  return forms;
}

}  // namespace vgg::cuda
