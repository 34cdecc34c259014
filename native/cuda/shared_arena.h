// The activations of whichever program runs: one block for all programs of a GPU, because they run
// in turn.
#pragma once

#include <set>

#include "cuda/nvidia/context.h"

namespace vgg::cuda {

/** As large as the largest program that exists. On the device's thread alone. */
class SharedArena {
 public:
  SharedArena(Context& context, std::atomic<size_t>* counter)
      : context_(context), counter_(counter) {}

  /** Room for one program, for as long as this lives. */
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

  /** Moves when a larger program comes, even one that could not be placed, or the largest goes. */
  [[nodiscard]] CUdeviceptr address();
  /** How often it has moved: what was captured holds for one generation. */
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
