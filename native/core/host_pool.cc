#include "core/host_pool.h"

#include <bit>
#include <utility>

namespace vgg {

std::shared_ptr<HostMemory> HostPool::allocate(size_t asked) {
  if (asked == 0 || asked > limit_) return make_(asked);
  // Few sizes, so that batches of many sizes share them.
  const size_t bytes = std::bit_ceil(asked);
  std::shared_ptr<HostMemory> block;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = idle_.find(bytes); found != idle_.end()) {
      block = std::move(found->second);
      idle_.erase(found);
      idleBytes_ -= bytes;
    }
  }
  if (block == nullptr) block = make_(bytes);
  std::byte* data = block->data();
  return HostMemory::adopt(data, asked, [pool = shared_from_this(), block = std::move(block)] {
    pool->giveBack(block);
  });
}

void HostPool::giveBack(std::shared_ptr<HostMemory> block) {
  const std::lock_guard lock(mutex_);
  const size_t bytes = block->bytes();
  if (idleBytes_ + bytes > limit_) return;
  idle_.emplace(bytes, std::move(block));
  idleBytes_ += bytes;
}

}  // namespace vgg
