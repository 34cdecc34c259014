// Blocks of the host's memory that were given back, kept for the next run: new ones cost a page
// fault for each 4 KiB, pinned ones a call of the driver.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "core/host_memory.h"

namespace vgg {

class HostPool : public std::enable_shared_from_this<HostPool> {
 public:
  using Make = std::function<std::shared_ptr<HostMemory>(size_t bytes)>;

  /** Keeps up to `limit` bytes. `make` allocates where nothing fits. */
  HostPool(size_t limit, Make make) : limit_(limit), make_(std::move(make)) {}

  /** On any thread. Throws what `make` does. */
  std::shared_ptr<HostMemory> allocate(size_t bytes);

 private:
  void giveBack(std::shared_ptr<HostMemory> block);

  size_t limit_;
  Make make_;
  std::mutex mutex_;
  std::multimap<size_t, std::shared_ptr<HostMemory>> idle_;  // by bytes
  size_t idleBytes_ = 0;
};

}  // namespace vgg
