#include "core/memory/queue_budget.h"

#include <limits>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/memory/available_memory.h"

namespace vgg {
namespace {

// Used if the system does not report the available memory.
constexpr size_t kUnknownLimit = size_t{1} << 30;

size_t defaultLimit() {
  const size_t available = availableHostBytes();
  return available == std::numeric_limits<size_t>::max() ? kUnknownLimit : available / 4;
}

}  // namespace

QueueBudget::QueueBudget(size_t limit) : limit_(limit > 0 ? limit : defaultLimit()) {}

std::shared_ptr<QueueBudget::Share> QueueBudget::take(size_t bytes) {
  // Allocate the share before the bytes are counted, because this may throw.
  auto share = std::make_shared<Share>(shared_from_this(), 0);
  const std::lock_guard lock(mutex_);
  if (bytes > 0 && used_ > 0 && (used_ > limit_ || bytes > limit_ - used_)) {
    throw Error(Code::kQueueFull, "Expected at most " + std::to_string(limit_) +
                                      " bytes to wait for the device but " + std::to_string(used_) +
                                      " wait and this call would add " + std::to_string(bytes));
  }
  used_ += bytes;
  share->bytes_ = bytes;
  return share;
}

size_t QueueBudget::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

void QueueBudget::Share::release() {
  const std::lock_guard lock(budget_->mutex_);
  budget_->used_ -= std::exchange(bytes_, 0);
}

}  // namespace vgg
