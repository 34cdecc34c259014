// The threads and warps of an emulated block, for the emulator's own files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <vector>

#include "emulator/emulate.h"
#include "fiber.h"

namespace emulate {

enum class State { kReady, kInWarp, kAtBarrier, kAtClusterBarrier, kDone };

struct Warp {
  unsigned lanes = 0;
  unsigned arrived = 0;
  unsigned turn = 0;
  Collective kind = Collective::kSync;
  // Used in turns: a lane may still read the last result while another writes its next value.
  Slots slots[2];
  float products[16][64];  // Written by endProducts, read before the warp meets again.
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct SharedProduct {
  Operands operands;
  SharedOperand a, b;
  float* d;  // [32]
  bool adds;
};

struct Fiber {
  Context context;
  Stack stack;
  Dim3 thread;
  State state = State::kDone;
  bool hasWaited = false;                // kept while others run
  unsigned number = 0;                   // in the cluster
  unsigned rank = 0;                     // of its block in the cluster
  std::deque<std::vector<Copy>> copies;  // by group; the last is not ended
  std::vector<SharedProduct> products;   // that have not ended
};

/** The threads of one cluster of blocks, usually of one block. */
class Block {
 public:
  /** `first` is the index of its first block. */
  void run(const Kernel& kernel, void** parameters, unsigned threads, unsigned ranks, Dim3 first,
           size_t sharedBytes, bool falling);

  std::byte* shared(unsigned rank) {
    // Aligned as on a GPU.
    const auto start = (reinterpret_cast<uintptr_t>(shared_.data()) + 1023) / 1024 * 1024;
    return reinterpret_cast<std::byte*>(start) + rank * sharedStride_;
  }
  [[nodiscard]] size_t sharedBytes() const { return sharedBytes_; }
  [[nodiscard]] unsigned ranks() const { return ranks_; }

  Warp& warpOf(const Fiber& fiber) { return warps_[fiber.number / 32]; }
  Fiber* current = nullptr;

  /** Lets the current thread wait in `state` until another makes it ready. */
  void wait(State state) {
    Fiber& self = *current;
    self.state = state;
    switchContext(self.context, scheduler_);
  }
  void release(const Warp& warp) {
    const size_t first = static_cast<size_t>(&warp - warps_.data()) * 32;
    for (size_t i = first; i < first + warp.lanes; ++i) fibers_[i].state = State::kReady;
  }

 private:
  static void enter();
  bool runWarp(size_t warp, bool falling);
  /** Lets these threads go on if all have reached the barrier. Returns whether any may. */
  bool pass(size_t first, size_t count, State barrier, const char* message);

  unsigned ranks_ = 1;
  Dim3 first_;
  size_t sharedBytes_ = 0, sharedStride_ = 0;
  std::vector<std::byte> shared_;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Context scheduler_;
  const Kernel* kernel_ = nullptr;
  void** parameters_ = nullptr;
  std::exception_ptr failure_;
};

/** The block whose threads run on this host thread, or null. */
inline constinit thread_local Block* running = nullptr;

/** The running thread, which asks for `what`. Throws LaunchError in a kernel without barriers. */
Fiber& self(const char* what);

}  // namespace emulate
