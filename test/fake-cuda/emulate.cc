// Blocks, threads, barriers and tensor cores of the emulated GPU.
#include "emulate.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "fiber.h"

namespace emulate {
namespace {

enum class State { kReady, kInWarp, kAtBarrier, kDone };

struct Warp {
  unsigned lanes = 0;
  unsigned arrived = 0;
  unsigned turn = 0;
  Collective kind = Collective::kSync;
  // In turns: a lane may still read the last result while another puts its next value down.
  Slots slots[2];
};

struct Fiber {
  Context context;
  Stack stack;
  Dim3 thread;
  State state = State::kDone;
  unsigned number = 0;
};

[[noreturn]] void failBarrier(const char* message) { throw LaunchError(Fault::kBarrier, message); }

/** The threads of one block. */
class Block {
 public:
  void run(const Kernel& kernel, void** parameters, unsigned threads, bool falling);

  Warp& warpOf(const Fiber& fiber) { return warps_[fiber.number / 32]; }
  Fiber* current = nullptr;

  /** The current thread waits in `state` until another makes it ready. */
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

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Context scheduler_;
  const Kernel* kernel_ = nullptr;
  void** parameters_ = nullptr;
  std::exception_ptr failure_;
};

thread_local Block* running = nullptr;

void Block::enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  // The scheduler's stack is known only here, and only after its first switch.
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_.stack, &block.scheduler_.bytes);
#endif
  try {
    block.kernel_->thread(block.parameters_);
  } catch (...) {
    block.failure_ = std::current_exception();
  }
  block.current->state = State::kDone;
  switchContext(block.current->context, block.scheduler_, true);
}

/** Runs the warp's threads until none is ready; says whether any was. */
bool Block::runWarp(size_t warp, bool falling) {
  const unsigned lanes = warps_[warp].lanes;
  bool any = false;
  for (bool ran = true; ran;) {
    ran = false;
    for (unsigned i = 0; i < lanes; ++i) {
      Fiber& fiber = fibers_[warp * 32 + (falling ? lanes - 1 - i : i)];
      if (fiber.state != State::kReady) continue;
      current = &fiber;
      threadIdx = fiber.thread;
      switchContext(scheduler_, fiber.context);
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
      if (fiber.state == State::kDone && warps_[warp].arrived > 0) {
        failBarrier("a thread ended while its warp waited for it");
      }
      ran = any = true;
    }
  }
  return any;
}

void Block::run(const Kernel& kernel, void** parameters, unsigned threads, bool falling) {
  kernel_ = &kernel;
  parameters_ = parameters;
  if (fibers_.size() < threads) fibers_.resize(threads);
  warps_.resize((threads + 31) / 32);
  for (size_t w = 0; w < warps_.size(); ++w) {
    warps_[w].lanes = std::min(32U, threads - static_cast<unsigned>(w) * 32);
    warps_[w].arrived = 0;
  }
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers_[i];
    fiber.number = i;
    fiber.thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    fiber.state = State::kReady;
    fiber.stack.start(fiber.context, &Block::enter);
  }
  running = this;
  for (;;) {
    bool any = false;
    for (size_t w = 0; w < warps_.size(); ++w) {
      any |= runWarp(falling ? warps_.size() - 1 - w : w, falling);
    }
    const auto count = [&](State state) {
      return std::count_if(fibers_.begin(), fibers_.begin() + threads,
                           [=](const Fiber& fiber) { return fiber.state == state; });
    };
    if (count(State::kDone) == threads) break;
    if (count(State::kAtBarrier) == threads) {
      for (unsigned i = 0; i < threads; ++i) fibers_[i].state = State::kReady;
    } else if (count(State::kAtBarrier) > 0 && count(State::kDone) > 0) {
      failBarrier("__syncthreads was not reached by all threads of the block");
    } else if (!any) {
      failBarrier("threads of a block wait at different places");
    }
  }
  running = nullptr;
}

/** Blocks with their stacks, kept from launch to launch. */
class Blocks {
 public:
  std::unique_ptr<Block> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(idle_.back());
    idle_.pop_back();
    return block;
  }
  void give(std::unique_ptr<Block> block) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> idle_;
};

Blocks& blocks() {
  // Never destroyed: stream threads may outlive static destructors.
  static auto* const all = new Blocks;
  return *all;
}

Fiber& self(const char* what) {
  if (running == nullptr) {
    throw LaunchError(Fault::kBarrier, std::string(what) + " in a kernel listed without barriers");
  }
  return *running->current;
}

float fromHalf(uint32_t bits) {
  const auto low = static_cast<uint16_t>(bits);
  _Float16 value;
  std::memcpy(&value, &low, 2);
  return static_cast<float>(value);
}
float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

float halfAt(uint32_t word, unsigned i) { return fromHalf(word >> (16 * i)); }
float bfloatAt(uint32_t word, unsigned i) {
  return fromBits(i == 0 ? word << 16 : word & ~0xffffU);
}
// The tensor core takes the 19 upper bits and ignores the rest.
float tf32At(uint32_t word, unsigned /*i*/) { return fromBits(word & 0xffffe000); }

/** Gathers the operands from all lanes' words and leaves d in them. A word holds `kPacked`
 * neighbours in k; operands of k elements take k / kPacked / 4 words per row. */
template <int kDepth, int kPacked, auto kConvert>
void multiplySlots(Slots& slots) {
  constexpr int kColumnWords = kDepth / kPacked / 4;  // a's words per row of a lane; b's words
  float a[16][kDepth];
  float b[kDepth][8];
  float d[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane / 4;
    const unsigned t = lane % 4;
    for (unsigned word = 0; word < 2 * kColumnWords; ++word) {
      for (unsigned i = 0; i < kPacked; ++i) {
        const unsigned k = (word / 2 * 4 + t) * kPacked + i;
        a[group + word % 2 * 8][k] = kConvert(slots[lane][word], i);
      }
    }
    for (unsigned word = 0; word < kColumnWords; ++word) {
      for (unsigned i = 0; i < kPacked; ++i) {
        const unsigned k = (word * 4 + t) * kPacked + i;
        b[k][group] = kConvert(slots[lane][2 * kColumnWords + word], i);
      }
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    for (float& v : d[row]) v = 0;
    for (unsigned k = 0; k < kDepth; ++k) {
      for (unsigned column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      std::memcpy(&slots[lane][i], &d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2], 4);
    }
  }
}

}  // namespace

void openWindow(const void* address, size_t bytes, bool write) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    throw LaunchError(Fault::kMisaligned, write ? "misaligned store" : "misaligned load");
  if (accessHook == nullptr) return;
  Window* window = accessHook(address, bytes, write);
  if (window == nullptr || !window->takes(static_cast<const char*>(address), bytes)) {
    throw LaunchError(Fault::kOutOfRange,
                      write ? "store outside every allocation" : "load outside every allocation");
  }
  auto& mine = recent[write ? 1 : 0];
  mine[1] = std::exchange(mine[0], window);
}

unsigned laneIndex() { return self("a warp operation").number % 32; }

void synchronize() {
  self("__syncthreads");
  running->wait(State::kAtBarrier);
}

const Slots& meet(Collective kind, std::initializer_list<uint32_t> mine, void (*atEnd)(Slots&)) {
  Fiber& fiber = self("a warp operation");
  Warp& warp = running->warpOf(fiber);
  if (warp.lanes != 32) failBarrier("a warp operation in a warp with fewer than 32 threads");
  if (warp.arrived > 0 && warp.kind != kind) {
    failBarrier("lanes of a warp meet in different operations");
  }
  warp.kind = kind;
  Slots& slots = warp.slots[warp.turn];
  std::copy(mine.begin(), mine.end(), slots[fiber.number % 32].begin());
  if (++warp.arrived < 32) {
    running->wait(State::kInWarp);
  } else {
    if (atEnd != nullptr) atEnd(slots);
    warp.arrived = 0;
    warp.turn ^= 1;
    running->release(warp);
  }
  return slots;
}

void multiply(Operands operands, float (&d)[4], std::initializer_list<uint32_t> words) {
  void (*atEnd)(Slots&) = nullptr;
  switch (operands) {
    case Operands::kHalf8:
      atEnd = multiplySlots<8, 2, halfAt>;
      break;
    case Operands::kHalf16:
      atEnd = multiplySlots<16, 2, halfAt>;
      break;
    case Operands::kBfloat16:
      atEnd = multiplySlots<16, 2, bfloatAt>;
      break;
    case Operands::kTf32:
      atEnd = multiplySlots<8, 1, tf32At>;
      break;
  }
  const auto& result = meet(Collective::kMultiply, words, atEnd)[laneIndex()];
  for (size_t i = 0; i < 4; ++i) d[i] += fromBits(result[i]);
}

void Kernel::launch(Dim3 grid, Dim3 block, size_t sharedBytes, void** parameters) const {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const uint64_t count = uint64_t{grid.x} * grid.y * grid.z;
  if (threads == 0 || threads > maxThreads || count == 0 || grid.x > 0x7fffffff ||
      grid.y > 0xffff || grid.z > 0xffff || sharedBytes != 0) {
    throw LaunchError(Fault::kConfiguration, "a launch outside the limits of " + std::string(name));
  }
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    gridDim = grid;
    blockDim = block;
    for (auto& windows : recent) windows[0] = windows[1] = nullptr;
    std::unique_ptr<Block> fibers = usesBarriers ? blocks().take() : nullptr;
    try {
      for (uint64_t i; (i = next.fetch_add(1)) < count;) {
        blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                    static_cast<unsigned>(i / grid.x / grid.y)};
        if (fibers) {
          fibers->run(*this, parameters, static_cast<unsigned>(threads), i % 2 == 1);
          continue;
        }
        for (unsigned t = 0; t < threads; ++t) {
          threadIdx = {t % block.x, t / block.x % block.y, t / block.x / block.y};
          thread(parameters);
        }
      }
      if (fibers) blocks().give(std::move(fibers));
    } catch (...) {
      // The fibers of a failed block are left where they stood and go with their stacks.
      running = nullptr;
      next = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  const uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  const uint64_t kThreadsWorthAnother = 4096;
  const uint64_t workers = std::min({cores, count, count * threads / kThreadsWorthAnother + 1});
  std::vector<std::thread> others;
  for (uint64_t i = 1; i < workers; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const LaunchError& error) {
    throw LaunchError(error.fault, std::string(name) + ": " + error.what());
  } catch (const std::exception& error) {
    throw LaunchError(Fault::kException, std::string(name) + ": " + error.what());
  }
}

}  // namespace emulate
