#include "core/parameter_versions.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/memory/host_memory.h"

namespace vgg {

HeldParameters::HeldParameters(std::shared_ptr<VersionedParameters> parameters)
    : parameters_(std::move(parameters)), entries_(parameters_->current()->specs().size()) {}

void HeldParameters::read(int index, size_t first, size_t count, float* to) const {
  const Entry& entry = entries_.at(index);
  switch (entry.state) {
    case State::kCurrent:
      return parameters_->current()->read(index, first, count, to);
    case State::kCopied:
      std::copy_n(entry.copy->floats() + first, count, to);
      return;
    case State::kMissing:
      throw missingParameter(parameters_->current()->specs()[index]);
    case State::kDropped:
      throw Error(Code::kInternal, "Expected a parameter that was not dropped");
  }
}

void HeldParameters::drop(int index) { entries_.at(index) = {State::kDropped, nullptr}; }

std::shared_ptr<HeldParameters> VersionedParameters::hold() {
  auto held = std::make_shared<HeldParameters>(shared_from_this());
  std::erase_if(held_, [](const auto& other) { return other.expired(); });
  held_.push_back(held);
  return held;
}

void VersionedParameters::preserve(int index) {
  std::shared_ptr<HostMemory> copy;  // shared by all holders of the same value
  for (const std::weak_ptr<HeldParameters>& weak : held_) {
    const std::shared_ptr<HeldParameters> held = weak.lock();
    if (held == nullptr) continue;
    HeldParameters::Entry& entry = held->entries_[index];
    if (entry.state != HeldParameters::State::kCurrent) continue;
    if (!current_->isWritten(index)) {
      entry.state = HeldParameters::State::kMissing;
      continue;
    }
    if (copy == nullptr) {
      const size_t count = elementCount(current_->specs()[index].shape);
      auto values = HostMemory::allocate(count * sizeof(float));
      current_->read(index, 0, count, values->floats());
      copy = std::move(values);
    }
    entry = {HeldParameters::State::kCopied, copy};
  }
}

void VersionedParameters::write(const std::vector<ParameterWrite>& writes) {
  for (const ParameterWrite& write : writes) preserve(write.index);
  current_->write(writes);
}

void VersionedParameters::fill(int index, float value) {
  preserve(index);
  current_->fill(index, value);
}

void VersionedParameters::fillNormal(int index, float standardDeviation, uint64_t seed,
                                     uint32_t stream) {
  preserve(index);
  current_->fillNormal(index, standardDeviation, seed, stream);
}

}  // namespace vgg
