#include "cuda/shared_arena.h"

namespace vgg::cuda {

SharedArena::Lease::Lease(SharedArena& arena, size_t bytes) : arena_(arena), bytes_(bytes) {
  const auto demand = arena_.demands_.insert(bytes);
  try {
    arena_.fit(bytes);
  } catch (...) {
    arena_.demands_.erase(demand);
    throw;
  }
}

SharedArena::Lease::~Lease() {
  arena_.demands_.erase(arena_.demands_.find(bytes_));
  const size_t needed = arena_.demands_.empty() ? 0 : *arena_.demands_.rbegin();
  if (arena_.memory_ == nullptr || arena_.memory_->bytes() <= needed) return;
  // Runs of other programs may still use it.
  if (!arena_.context_.isLost())
    arena_.context_.api().cuStreamSynchronize(arena_.context_.compute());
  arena_.memory_ = nullptr;
}

void SharedArena::fit(size_t bytes) {
  if (memory_ != nullptr && memory_->bytes() >= bytes) return;
  if (memory_ != nullptr) {
    // Runs under way still use the old block.
    context_.call(context_.api().cuStreamSynchronize, context_.compute());
    memory_ = nullptr;
  }
  memory_ = std::make_unique<DeviceMemory>(context_, bytes, counter_);
  ++generation_;
}

CUdeviceptr SharedArena::address() {
  fit(demands_.empty() ? 0 : *demands_.rbegin());
  return memory_->address();
}

uint64_t SharedArena::generation() {
  fit(demands_.empty() ? 0 : *demands_.rbegin());
  return generation_;
}

}  // namespace vgg::cuda
