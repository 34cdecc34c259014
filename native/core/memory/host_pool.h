// Keeps released blocks of host memory for the next run. A new block costs a page fault for each
// 4 KiB; a pinned block costs a driver call, and freeing it waits for the GPU.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "core/memory/host_memory.h"

namespace vgg {

class HostPool : public std::enable_shared_from_this<HostPool> {
 public:
  using Make = std::function<std::shared_ptr<HostMemory>(size_t bytes)>;
  /**
   * Bounds on the bytes to keep. Within them the pool keeps twice the recent peak of bytes in use,
   * so that calls of changing sizes find blocks too. Repeated calls of one size reuse the same
   * blocks.
   */
  struct Limits {
    size_t least, most;
  };

  /** `make` allocates a block if no idle one fits. */
  HostPool(Limits limits, Make make) : limits_(limits), make_(std::move(make)) {}

  /** Callable on any thread. Throws what `make` throws. */
  std::shared_ptr<HostMemory> allocate(size_t bytes);

 private:
  using Blocks = std::list<std::shared_ptr<HostMemory>>;
  class Lease;

  void take(size_t bytes, Blocks& to);
  void giveBack(Blocks& block);

  const Limits limits_;
  const Make make_;
  std::mutex mutex_;
  Blocks idle_;  // in the order of release, the latest last
  size_t idleBytes_ = 0, usedBytes_ = 0;
  size_t recentPeak_ = 0;    // the peak of usedBytes_, which decays slowly if no longer reached
  size_t usedThisTime_ = 0;  // the peak of usedBytes_ since nothing was in use
};

}  // namespace vgg
