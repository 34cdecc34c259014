#include "core/memory/host_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace vgg {
namespace {

/** Rounds up to steps of a quarter of a power of two. With few sizes, batches of similar size share
 * blocks. */
size_t roundUp(size_t bytes) {
  constexpr size_t kPage = 4096;
  const size_t step = std::max(std::bit_floor(bytes) / 4, kPage);
  return (bytes + step - 1) / step * step;
}

}  // namespace

/** A block in use. Its destructor returns the block to the pool. */
class HostPool::Lease {
 public:
  Lease(std::shared_ptr<HostPool> pool, size_t bytes) : pool_(std::move(pool)) {
    pool_->take(bytes, block_);
  }
  ~Lease() { pool_->giveBack(block_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  [[nodiscard]] std::byte* data() const { return block_.front()->data(); }

 private:
  std::shared_ptr<HostPool> pool_;
  Blocks block_;  // holds one block
};

std::shared_ptr<HostMemory> HostPool::allocate(size_t asked) {
  if (asked == 0 || asked > limits_.most) return make_(asked);
  auto lease = std::make_shared<Lease>(shared_from_this(), roundUp(asked));
  std::byte* data = lease->data();
  return HostMemory::adopt(data, asked, std::move(lease));
}

/** Takes the smallest block that is large enough. Among equals it prefers the one used last, which
 * the caches may still hold. */
void HostPool::take(size_t bytes, Blocks& to) {
  {
    const std::lock_guard lock(mutex_);
    auto found = idle_.end();
    for (auto i = idle_.begin(); i != idle_.end(); ++i) {
      const size_t size = (*i)->bytes();
      if (size < bytes || size / 2 > bytes) continue;  // too small or too large
      if (found == idle_.end() || size <= (*found)->bytes()) found = i;
    }
    if (found != idle_.end()) {
      to.splice(to.end(), idle_, found);
      idleBytes_ -= to.back()->bytes();
    }
  }
  if (to.empty()) to.push_back(make_(bytes));
  const std::lock_guard lock(mutex_);
  usedBytes_ += to.back()->bytes();
  usedThisTime_ = std::max(usedThisTime_, usedBytes_);
  recentPeak_ = std::max(recentPeak_, usedBytes_);
}

/** Allocates nothing, because it runs when memory is released. */
void HostPool::giveBack(Blocks& block) {
  Blocks dropped;  // freed after the lock is released
  const std::lock_guard lock(mutex_);
  const size_t bytes = block.front()->bytes();
  usedBytes_ -= bytes;
  if (usedBytes_ == 0) {
    // After some tens of sequential calls, the memory that concurrent calls needed is released.
    constexpr size_t kSlowness = 64;
    recentPeak_ -= (recentPeak_ - usedThisTime_) / kSlowness;
    usedThisTime_ = 0;
  }
  idleBytes_ += bytes;
  idle_.splice(idle_.end(), block);
  const size_t kept = std::clamp(2 * recentPeak_, limits_.least, limits_.most);
  while (idleBytes_ > kept) {
    idleBytes_ -= idle_.front()->bytes();
    dropped.splice(dropped.end(), idle_, idle_.begin());
  }
}

}  // namespace vgg
