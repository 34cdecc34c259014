// Blocks of the host's memory that were given back, kept for the next run: new ones cost a page
// fault for each 4 KiB; pinned ones a call of the driver, which to free them waits for the GPU.
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
   * How many bytes to keep for later: twice as many as were in use at once of late, so that calls
   * of changing sizes find theirs too, but no fewer and no more than these. Calls of one size never
   * fill more than once.
   */
  struct Limits {
    size_t least, most;
  };

  /** `make` allocates where nothing fits. */
  HostPool(Limits limits, Make make) : limits_(limits), make_(std::move(make)) {}

  /** On any thread. Throws what `make` does. */
  std::shared_ptr<HostMemory> allocate(size_t bytes);

 private:
  using Blocks = std::list<std::shared_ptr<HostMemory>>;
  class Lease;

  void take(size_t bytes, Blocks& to);
  void giveBack(Blocks& block);

  const Limits limits_;
  const Make make_;
  std::mutex mutex_;
  Blocks idle_;  // the one given back last comes last
  size_t idleBytes_ = 0, usedBytes_ = 0;
  size_t usedOfLate_ = 0;    // the most at once, sinking slowly where it is not reached any more
  size_t usedThisTime_ = 0;  // the most at once since nothing was in use
};

}  // namespace vgg
