#include "cpu/shared_arena.h"

namespace vgg::cpu {

std::shared_ptr<HostMemory> SharedArena::fit(size_t bytes) {
  if (memory_ == nullptr || memory_->bytes() < bytes) {
    memory_ = nullptr;
    memory_ = HostMemory::allocate(bytes, counter_);
  }
  return memory_;
}

void SharedArena::add(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto demand = demands_.insert(bytes);
  try {
    fit(bytes);
  } catch (...) {
    demands_.erase(demand);
    throw;
  }
}

void SharedArena::remove(size_t bytes) {
  const std::lock_guard lock(mutex_);
  demands_.erase(demands_.find(bytes));
  const size_t needed = demands_.empty() ? 0 : *demands_.rbegin();
  if (memory_ != nullptr && memory_->bytes() > needed) memory_ = nullptr;
}

std::shared_ptr<HostMemory> SharedArena::memory() {
  const std::lock_guard lock(mutex_);
  return fit(demands_.empty() ? 0 : *demands_.rbegin());
}

}  // namespace vgg::cpu
