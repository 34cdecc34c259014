// The memory for activations: one block for all programs of a device, because they run in turn.
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "core/memory/host_memory.h"

namespace vgg::cpu {

/** A block as large as the largest program that exists. It is freed when that program is gone. */
class SharedArena {
 public:
  explicit SharedArena(std::atomic<size_t>* counter) : counter_(counter) {}

  /** Makes room for a program that needs `bytes`. Throws Error kOutOfMemory. */
  void add(size_t bytes);
  void remove(size_t bytes);
  std::shared_ptr<HostMemory> memory();

 private:
  std::shared_ptr<HostMemory> fit(size_t bytes);

  std::mutex mutex_;  // a program may be freed on another thread than the one that runs the rest
  std::multiset<size_t> demands_;
  std::shared_ptr<HostMemory> memory_;
  std::atomic<size_t>* counter_;
};

}  // namespace vgg::cpu
