// Blocks, threads, barriers and tensor cores of the emulated GPU.
#include "emulate.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "fiber.h"

namespace emulate {
namespace {

enum class State { kReady, kInWarp, kAtBarrier, kAtClusterBarrier, kDone };

struct Warp {
  unsigned lanes = 0;
  unsigned arrived = 0;
  unsigned turn = 0;
  Collective kind = Collective::kSync;
  // In turns: a lane may still read the last result while another puts its next value down.
  Slots slots[2];
  float products[16][64];  // of multiplyShared; read before the warp meets again
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Fiber {
  Context context;
  Stack stack;
  Dim3 thread;
  State state = State::kDone;
  unsigned number = 0;                   // in the cluster
  unsigned rank = 0;                     // of its block in the cluster
  std::deque<std::vector<Copy>> copies;  // by group; the last is not ended
};

[[noreturn]] void failBarrier(const char* message) { throw LaunchError(Fault::kBarrier, message); }

/** The threads of one cluster of blocks, mostly of one. */
class Block {
 public:
  /** `first` is the index of its first block. */
  void run(const Kernel& kernel, void** parameters, unsigned threads, unsigned ranks, Dim3 first,
           size_t sharedBytes, bool falling);

  std::byte* shared(unsigned rank) {
    // As a GPU aligns it.
    const auto start = (reinterpret_cast<uintptr_t>(shared_.data()) + 1023) / 1024 * 1024;
    return reinterpret_cast<std::byte*>(start) + rank * sharedStride_;
  }
  [[nodiscard]] size_t sharedBytes() const { return sharedBytes_; }
  [[nodiscard]] unsigned ranks() const { return ranks_; }

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
  /** Whether any thread of these may go on after a barrier that all have reached. */
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
      blockIdx = {first_.x + fiber.rank, first_.y, first_.z};
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
  // What is there at the start is no number.
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
    fiber.copies.assign(1, {});
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
    if (!any) failBarrier("threads of a block wait at different places");
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
/** Every number of 16 bits: a conversion by hand would take longer than the products. */
using Numbers = std::vector<float>;
Numbers listNumbers(float (*convert)(uint32_t, unsigned)) {
  Numbers all(1 << 16);
  for (uint32_t bits = 0; bits < all.size(); ++bits) all[bits] = convert(bits, 0);
  return all;
}
const Numbers& halves() {
  static const auto* const all = new Numbers(listNumbers(halfAt));
  return *all;
}
const Numbers& bfloats() {
  static const auto* const all = new Numbers(listNumbers(bfloatAt));
  return *all;
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

void multiplyShared(Operands operands, float (&d)[32], const SharedOperand& a,
                    const SharedOperand& b, bool adds) {
  constexpr int kDepth = 16;
  constexpr int kColumns = 64;
  Fiber& fiber = self("a product");
  Warp& warp = running->warpOf(fiber);
  if (warp.arrived == 31) {  // the last lane multiplies for all
    const Numbers& numbers = operands == Operands::kHalf16 ? halves() : bfloats();
    const auto at = [&](const SharedOperand& operand, int row, int k) {
      const std::byte* base = launchedShared();
      const auto offset = static_cast<size_t>(static_cast<const std::byte*>(operand.start) - base) +
                          static_cast<size_t>(row / 8 * operand.across + row % 8 * 128 + k * 2);
      uint16_t bits;
      std::memcpy(&bits, base + (offset ^ (offset >> 3 & 0x70)), sizeof bits);
      return numbers[bits];
    };
    const int firstRow = static_cast<int>(fiber.number / 32 % 4) * 16;
    float columns[kDepth][kColumns];
    for (int k = 0; k < kDepth; ++k) {
      for (int column = 0; column < kColumns; ++column) columns[k][column] = at(b, column, k);
    }
    for (int row = 0; row < 16; ++row) {
      auto& sums = warp.products[row];
      std::fill(std::begin(sums), std::end(sums), 0.0F);
      for (int k = 0; k < kDepth; ++k) {
        const float value = at(a, firstRow + row, k);
        for (int column = 0; column < kColumns; ++column)
          sums[column] += value * columns[k][column];
      }
    }
  }
  meet(Collective::kMultiply, {});
  const unsigned lane = laneIndex();
  for (unsigned i = 0; i < 32; ++i) {
    const float product = warp.products[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
    d[i] = adds ? d[i] + product : product;
  }
}

void Kernel::launch(Dim3 grid, Dim3 block, size_t sharedBytes, void** parameters,
                    unsigned cluster) const {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  constexpr size_t kMostShared = size_t{227} << 10;
  const uint64_t count = cluster == 0 ? 0 : uint64_t{grid.x / cluster} * grid.y * grid.z;
  if (threads == 0 || threads > maxThreads || count == 0 || grid.x % cluster != 0 ||
      grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff || sharedBytes > kMostShared ||
      (!usesBarriers && (cluster > 1 || sharedBytes > 0)) || (cluster > 1 && threads % 32 != 0)) {
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
