#include "core/host_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace vgg {
namespace {

/** Few sizes, so that batches of about a size share them: a quarter of a power of two apart. */
size_t roundUp(size_t bytes) {
  constexpr size_t kPage = 4096;
  const size_t step = std::max(std::bit_floor(bytes) / 4, kPage);
  return (bytes + step - 1) / step * step;
}

}  // namespace

std::shared_ptr<HostMemory> HostPool::allocate(size_t asked) {
  if (asked == 0 || asked > limits_.most) return make_(asked);
  std::shared_ptr<HostMemory> block = take(roundUp(asked));
  std::byte* data = block->data();
  return HostMemory::adopt(data, asked, [pool = shared_from_this(), block = std::move(block)] {
    pool->giveBack(block);
  });
}

/** The smallest that is large enough, of those the one used last, which the caches may still hold.
 */
std::shared_ptr<HostMemory> HostPool::take(size_t bytes) {
  std::shared_ptr<HostMemory> block;
  {
    const std::lock_guard lock(mutex_);
    auto found = idle_.end();
    for (auto i = idle_.begin(); i != idle_.end(); ++i) {
      const size_t size = (*i)->bytes();
      if (size < bytes || size / 2 > bytes) continue;  // too small, or a waste
      if (found == idle_.end() || size <= (*found)->bytes()) found = i;
    }
    if (found != idle_.end()) {
      block = std::move(*found);
      idle_.erase(found);
      idleBytes_ -= block->bytes();
    }
  }
  if (block == nullptr) block = make_(bytes);
  const std::lock_guard lock(mutex_);
  usedBytes_ += block->bytes();
  usedThisTime_ = std::max(usedThisTime_, usedBytes_);
  usedOfLate_ = std::max(usedOfLate_, usedBytes_);
  return block;
}

void HostPool::giveBack(std::shared_ptr<HostMemory> block) {
  Blocks dropped;  // freed after the lock is released
  const std::lock_guard lock(mutex_);
  usedBytes_ -= block->bytes();
  if (usedBytes_ == 0) {
    // Some tens of calls one after the other, and what many at once needed is given up.
    constexpr size_t kSlowness = 64;
    usedOfLate_ -= (usedOfLate_ - usedThisTime_) / kSlowness;
    usedThisTime_ = 0;
  }
  idleBytes_ += block->bytes();
  idle_.push_back(std::move(block));
  const size_t kept = std::clamp(2 * usedOfLate_, limits_.least, limits_.most);
  while (idleBytes_ > kept) {
    idleBytes_ -= idle_.front()->bytes();
    dropped.splice(dropped.end(), idle_, idle_.begin());
  }
}

}  // namespace vgg
