// Blocks, threads and barriers of the emulated GPU.
#include "emulator/emulate.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "emulator/emulated_block.h"

namespace emulate {
namespace {

[[noreturn]] void failBarrier(const char* message) { throw LaunchError(Fault::kBarrier, message); }

/** Keeps blocks with their stacks from launch to launch. */
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

}  // namespace

void Block::enter() {
  Block& block = *running;
#if defined(__SANITIZE_ADDRESS__)
  // The scheduler's stack is known only here, after its first switch.
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

/** Runs the warp's threads until none is ready. Returns whether any was. */
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
      blockIdx = {first_.x + fiber.rank, first_.y, first_.z};
      hasWaited = fiber.hasWaited;
      switchContext(scheduler_, fiber.context);
      fiber.hasWaited = hasWaited;
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
      if (fiber.state == State::kDone && warps_[warp].arrived > 0) {
        failBarrier("a thread ended while its warp waited for it");
      }
      ran = any = true;
    }
  }
  return any;
}

bool Block::pass(size_t first, size_t count, State barrier, const char* message) {
  const auto begin = fibers_.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = begin + static_cast<std::ptrdiff_t>(count);
  const auto with = [&](State state) {
    return std::count_if(begin, end, [=](const Fiber& fiber) { return fiber.state == state; });
  };
  if (with(barrier) == static_cast<std::ptrdiff_t>(count)) {
    std::for_each(begin, end, [](Fiber& fiber) { fiber.state = State::kReady; });
    return true;
  }
  if (with(barrier) > 0 && with(State::kDone) > 0) failBarrier(message);
  return false;
}

void Block::run(const Kernel& kernel, void** parameters, unsigned threads, unsigned ranks,
                Dim3 first, size_t sharedBytes, bool falling) {
  kernel_ = &kernel;
  parameters_ = parameters;
  ranks_ = ranks;
  first_ = first;
  sharedBytes_ = sharedBytes;
  // Shared memory is NaN at the start.
  sharedStride_ = (sharedBytes + 1023) / 1024 * 1024;
  shared_.assign(sharedBytes == 0 ? 0 : ranks * sharedStride_ + 1023, std::byte{0xff});
  const unsigned all = threads * ranks;
  if (fibers_.size() < all) fibers_.resize(all);
  warps_.resize((all + 31) / 32);
  for (size_t w = 0; w < warps_.size(); ++w) {
    warps_[w].lanes = std::min(32U, all - static_cast<unsigned>(w) * 32);
    warps_[w].arrived = 0;
  }
  for (unsigned i = 0; i < all; ++i) {
    Fiber& fiber = fibers_[i];
    const unsigned at = i % threads;
    fiber.number = i;
    fiber.rank = i / threads;
    fiber.thread = {at % blockDim.x, at / blockDim.x % blockDim.y, at / blockDim.x / blockDim.y};
    fiber.state = State::kReady;
    fiber.hasWaited = false;
    fiber.copies.assign(1, {});
    fiber.products.clear();
    fiber.stack.start(fiber.context, &Block::enter);
  }
  running = this;
  for (;;) {
    bool any = false;
    for (size_t w = 0; w < warps_.size(); ++w) {
      any |= runWarp(falling ? warps_.size() - 1 - w : w, falling);
    }
    if (std::all_of(fibers_.begin(), fibers_.begin() + all,
                    [](const Fiber& fiber) { return fiber.state == State::kDone; }))
      break;
    for (unsigned rank = 0; rank < ranks; ++rank) {
      any |= pass(size_t{rank} * threads, threads, State::kAtBarrier,
                  "__syncthreads was not reached by all threads of the block");
    }
    any |= pass(0, all, State::kAtClusterBarrier,
                "a cluster's barrier was not reached by all of its threads");
    if (!any) failBarrier("threads of a block wait at different barriers");
  }
  running = nullptr;
}

Fiber& self(const char* what) {
  if (running == nullptr) {
    throw LaunchError(Fault::kBarrier, std::string(what) + " in a kernel listed without barriers");
  }
  return *running->current;
}

void checkEarly(const void* address, size_t bytes, bool write) {
  if (write) throw LaunchError(Fault::kEarly, "a store before waitForPrevious");
  if (constantHook != nullptr && !constantHook(address, bytes)) {
    throw LaunchError(Fault::kEarly,
                      "a load before waitForPrevious of memory that earlier kernels may write");
  }
}

void openWindow(const void* address, size_t bytes, bool write) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    throw LaunchError(Fault::kMisaligned, write ? "misaligned store" : "misaligned load");
  if (accessHook == nullptr) return;
  Window* window = nullptr;
  uint64_t generation = 0;
  do {
    // If other memory is freed during the call, the hook's window is void at once, so ask again.
    generation = windowGeneration.load(std::memory_order_acquire);
    window = accessHook(address, bytes, write);
    if (window != nullptr && window->takes(static_cast<const char*>(address), bytes)) break;
    window = nullptr;
  } while (generation != windowGeneration.load(std::memory_order_acquire));
  if (window == nullptr) {
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

void synchronizeCluster() {
  self("a cluster's barrier");
  running->wait(State::kAtClusterBarrier);
}

std::byte* launchedShared() { return running->shared(self("shared memory").rank); }

const void* sharedOf(unsigned rank, const void* mine) {
  const auto offset = static_cast<const std::byte*>(mine) - launchedShared();
  if (rank >= running->ranks() || offset < 0 ||
      static_cast<size_t>(offset) >= running->sharedBytes())
    throw LaunchError(Fault::kOutOfRange, "a load outside the cluster's shared memory");
  return running->shared(rank) + offset;
}

void copyLater(void* to, const void* from, size_t bytes) {
  const auto offset = static_cast<std::byte*>(to) - launchedShared();
  if (offset < 0 || static_cast<size_t>(offset) + bytes > running->sharedBytes() ||
      static_cast<size_t>(offset) % bytes != 0)
    throw LaunchError(Fault::kOutOfRange, "a copy outside the block's shared memory");
  if (from != nullptr) checkAccess(from, bytes, false);
  self("a copy").copies.back().push_back({to, from, bytes});
}

void endGroup() { self("a copy").copies.emplace_back(); }

void waitForGroups(size_t left) {
  auto& groups = self("a copy").copies;
  for (; groups.size() > left + 1; groups.pop_front()) {
    for (const Copy& copy : groups.front()) {
      if (copy.from == nullptr) {
        std::memset(copy.to, 0, copy.bytes);
      } else {
        std::memcpy(copy.to, copy.from, copy.bytes);
      }
    }
  }
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

void Kernel::launch(Dim3 grid, Dim3 block, size_t sharedBytes, void** parameters,
                    unsigned cluster) const {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  constexpr size_t kMaxShared = size_t{227} << 10;
  uint64_t count = cluster == 0 ? 0 : uint64_t{grid.x / cluster} * grid.y * grid.z;
  if (threads == 0 || threads > maxThreads || count == 0 || grid.x % cluster != 0 ||
      grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff || sharedBytes > kMaxShared ||
      (!usesBarriers && (cluster > 1 || sharedBytes > 0)) || (cluster > 1 && threads % 32 != 0)) {
    throw LaunchError(Fault::kConfiguration, "a launch outside the limits of " + std::string(name));
  }
  if (planted == Planted::kReturnsAtOnce) return;
  if (planted == Planted::kLastBlockMissing) --count;
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    gridDim = grid;
    blockDim = block;
    storesNothing = planted == Planted::kStoresNothing;
    for (auto& windows : recent) windows[0] = windows[1] = nullptr;
    std::unique_ptr<Block> fibers = usesBarriers ? blocks().take() : nullptr;
    try {
      for (uint64_t i; (i = next.fetch_add(1)) < count;) {
        const unsigned across = grid.x / cluster;
        blockIdx = {static_cast<unsigned>(i % across) * cluster,
                    static_cast<unsigned>(i / across % grid.y),
                    static_cast<unsigned>(i / across / grid.y)};
        if (fibers) {
          fibers->run(*this, parameters, static_cast<unsigned>(threads), cluster, blockIdx,
                      sharedBytes, i % 2 == 1);
          continue;
        }
        for (unsigned t = 0; t < threads; ++t) {
          threadIdx = {t % block.x, t / block.x % block.y, t / block.x / block.y};
          hasWaited = false;
          thread(parameters);
        }
      }
      if (fibers) blocks().give(std::move(fibers));
    } catch (...) {
      // The fibers of a failed block stay where they stopped and are freed with their stacks.
      running = nullptr;
      next = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  const uint64_t cores = std::max(1U, std::thread::hardware_concurrency());
  const uint64_t kThreadsWorthAnother = 4096;
  const uint64_t workers =
      std::min({cores, std::max<uint64_t>(count, 1), count * threads / kThreadsWorthAnother + 1});
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
