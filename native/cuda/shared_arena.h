// Holds the activations of the program that runs. All programs of a GPU share one block, because
// they run in turn.
#pragma once

#include <set>

#include "cuda/nvidia/context.h"

namespace vgg::cuda {

/** A block as large as the largest program that exists. Only the device's thread uses it. */
class SharedArena {
 public:
  SharedArena(Context& context, std::atomic<size_t>* counter)
      : context_(context), counter_(counter) {}

  /** Keeps room for one program while it lives. */
  class Lease {
   public:
    /** Throws Error kOutOfMemory. */
    Lease(SharedArena& arena, size_t bytes);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    SharedArena& arena_;
    size_t bytes_;
  };

  /** The address changes when a larger program is added, even if there is no memory for it, and
   * when the largest program is removed. */
  [[nodiscard]] CUdeviceptr address();
  /** The number of times that the address has changed. A captured graph is valid for one
   * generation. */
  [[nodiscard]] uint64_t generation();

 private:
  void fit(size_t bytes);

  Context& context_;
  std::atomic<size_t>* counter_;
  std::multiset<size_t> demands_;
  std::unique_ptr<DeviceMemory> memory_;
  uint64_t generation_ = 0;
};

}  // namespace vgg::cuda
