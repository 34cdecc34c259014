// Runs CUDA kernels compiled as C++ on a CPU: the threads of a block are fibers, so barriers,
// shuffles, shared memory and tensor-core fragments mean what they mean on a GPU.
//
// A thread runs until it waits for others, so races do not appear by chance. Instead every second
// block runs its threads in falling order, so that a missing barrier gives wrong values in one of
// the two orders.
#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#define __forceinline__ inline
#define __shared__ static thread_local

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};

namespace emulate {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

enum class Fault {
  kOutOfRange,     // a GPU reports 700, illegal address
  kMisaligned,     // 716, misaligned address
  kBarrier,        // a GPU hangs or computes nonsense
  kConfiguration,  // 1, invalid value
  kEarly,          // a GPU may read values from before or after the earlier kernels
  kException,      // the access hook threw something else
};

class LaunchError : public std::runtime_error {
 public:
  LaunchError(Fault fault, const std::string& message) : runtime_error(message), fault(fault) {}
  Fault fault;
};

/** Memory that a thread may read, or write, and the part that it has touched. Accesses to that part
 * need not ask the hook again. */
struct Window {
  const char* begin = nullptr;
  const char* end = nullptr;
  uint64_t generation = 0;
  const char* low = nullptr;  // of the touched part; high is null if nothing was touched
  const char* high = nullptr;

  bool takes(const char* first, size_t bytes);
};
/** Rises when memory is freed, which makes older windows void. */
inline std::atomic<uint64_t> windowGeneration{1};
/** The last two windows of this thread's launch, for reads and for writes. */
inline constinit thread_local Window* recent[2][2] = {};

inline bool Window::takes(const char* first, size_t bytes) {
  if (first < begin || first + bytes > end ||
      generation != windowGeneration.load(std::memory_order_acquire))
    return false;
  if (high == nullptr || first < low) low = first;
  if (first + bytes > high) high = first + bytes;
  return true;
}

/** The window around `bytes` at `address` that may be read (or written), or null. Several host
 * threads call it at once. The window belongs to the calling thread and may change when that thread
 * asks again. Without a hook everything is allowed. */
using AccessHook = Window* (*)(const void* address, size_t bytes, bool write);
inline AccessHook accessHook = nullptr;

/** Whether no kernel of the same chain writes these bytes, as with parameters. Without a hook this
 * is true for all memory. */
using ConstantHook = bool (*)(const void* address, size_t bytes);
inline ConstantHook constantHook = nullptr;

/** Whether the running thread has called waitForPrevious. Until then its kernel may overlap earlier
 * kernels (programmatic dependent launch), so it may read only parameters and store nothing. */
inline constinit thread_local bool hasWaited = false;

/** Throws LaunchError if a thread that has not waited may not do this. */
void checkEarly(const void* address, size_t bytes, bool write);

/** Asks the hook for a window around the access, and remembers it. Throws LaunchError. */
void openWindow(const void* address, size_t bytes, bool write);

/** Throws LaunchError unless the access is aligned to its size, a power of two, and inside an
 * allocation. */
inline void checkAccess(const void* address, size_t bytes, bool write) {
  const bool isAligned = (reinterpret_cast<uintptr_t>(address) & (bytes - 1)) == 0;
  if (!hasWaited) checkEarly(address, bytes, write);
  Window* const(&mine)[2] = recent[write ? 1 : 0];
  const auto* first = static_cast<const char*>(address);
  if (isAligned && mine[0] != nullptr && mine[0]->takes(first, bytes)) return;
  if (isAligned && mine[1] != nullptr && mine[1]->takes(first, bytes)) return;
  openWindow(address, bytes, write);
}

inline constinit thread_local Dim3 threadIdx, blockIdx, blockDim, gridDim;

/** Faults that a test can plant in a kernel. */
enum class Planted : uint8_t { kNothing, kReturnsAtOnce, kStoresNothing, kLastBlockMissing };
/** Whether the kernel that runs on this host thread stores nothing. */
inline constinit thread_local bool storesNothing = false;

/** A kernel and how it is called. */
struct Kernel {
  /** Names as in native/cuda/kernels, such as "pool.cu" and "maxPool2d_f16". */
  std::string_view file;
  std::string_view name;
  /** Whether its threads wait for each other. Threads of other kernels run as a plain loop. */
  bool usesBarriers;
  unsigned maxThreads;
  /** Runs one thread. `parameters` are pointers to the values, as cuLaunchKernel takes them. */
  void (*thread)(void** parameters);
  /** The size of each parameter. A launch copies them before it returns. */
  std::span<const size_t> parameterBytes;
  Planted planted = Planted::kNothing;

  /** Returns when all blocks have run, or throws LaunchError. Blocks run on several host threads.
   * The `cluster` neighbours in x that form a cluster run together on one. */
  void launch(Dim3 grid, Dim3 block, size_t sharedBytes, void** parameters,
              unsigned cluster = 1) const;
};

template <auto kFunction>
struct Caller;
template <typename... P, void (*kFunction)(P...)>
struct Caller<kFunction> {
  static constexpr std::array<size_t, sizeof...(P)> kBytes{sizeof(P)...};
  static void call(void** parameters) { call(parameters, std::index_sequence_for<P...>()); }
  template <size_t... I>
  static void call([[maybe_unused]] void** parameters, std::index_sequence<I...>) {
    kFunction(*static_cast<P*>(parameters[I])...);
  }
};

template <auto kFunction>
Kernel makeKernel(std::string_view file, std::string_view name, bool usesBarriers,
                  unsigned maxThreads) {
  return {
      file, name, usesBarriers, maxThreads, &Caller<kFunction>::call, Caller<kFunction>::kBytes};
}

/** An operation of all lanes of a warp, which must agree on it. */
enum class Collective { kSync, kShuffle, kVote, kMultiply };
using Slots = std::array<std::array<uint32_t, 8>, 32>;
/** Publishes `mine` and waits for the other lanes. The result is valid until the lane's next but
 * one collective. The lane that arrives last runs `atEnd`. */
const Slots& meet(Collective kind, std::initializer_list<uint32_t> mine,
                  void (*atEnd)(Slots&) = nullptr);
unsigned laneIndex();
/** The barrier of the block. */
void synchronize();

enum class Operands { kHalf8, kHalf16, kBfloat16, kTf32 };
/** mma.sync: d (16, 8) += a (16, k) b (k, 8). `words` are the lane's words of a, then of b. */
void multiply(Operands operands, float (&d)[4], std::initializer_list<uint32_t> words);

/** The block's shared memory of the launch's size, and the same address in the block of another
 * rank in the cluster. */
std::byte* launchedShared();
const void* sharedOf(unsigned rank, const void* mine);
/** The barrier of the cluster. */
void synchronizeCluster();

/** cp.async: the bytes arrive only when the thread has waited for their group. Writes zeros if
 * `from` is null. */
void copyLater(void* to, const void* from, size_t bytes);
void endGroup();
void waitForGroups(size_t left);

/** A matrix of depth 16 in shared memory, in rows of 128 bytes. Their 16-byte vectors are swizzled
 * by three bits of the address. */
struct SharedOperand {
  const void* start;
  int across;  // bytes from eight rows to the next eight
};
/** wgmma: d (64, 64) = a (64, 16) b (16, 64), or +=, by the four warps of the warp's group. All
 * products since the last end of products, with the same d, are computed at the next end. */
void multiplyShared(Operands operands, float (&d)[32], const SharedOperand& a,
                    const SharedOperand& b, bool adds);
void endProducts();

/** The value of the source lane, which must exist. */
template <typename T>
T shuffle(unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  if (mask != ~0U) throw LaunchError(Fault::kBarrier, "a shuffle by part of a warp");
  uint32_t words[2] = {};
  std::memcpy(words, &value, sizeof value);
  const auto& from = meet(Collective::kShuffle, {words[0], words[1]})[source];
  std::memcpy(&value, from.data(), sizeof value);
  return value;
}

}  // namespace emulate

using emulate::blockDim;
using emulate::blockIdx;
using emulate::gridDim;
using emulate::threadIdx;

inline void __syncthreads() { emulate::synchronize(); }
inline void __syncwarp() { emulate::meet(emulate::Collective::kSync, {}); }

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return emulate::shuffle(mask, value, (emulate::laneIndex() ^ static_cast<unsigned>(lanes)) % 32);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return emulate::shuffle(mask, value, static_cast<unsigned>(lane) % 32);
}
// A lane past the end keeps its own value.
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned lane = emulate::laneIndex();
  return emulate::shuffle(mask, value, lane + lanes < 32 ? lane + lanes : lane);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned lane = emulate::laneIndex();
  return emulate::shuffle(mask, value, lane >= lanes ? lane - lanes : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  if (mask != ~0U) {
    throw emulate::LaunchError(emulate::Fault::kBarrier, "a vote by part of a warp");
  }
  const auto& slots = emulate::meet(emulate::Collective::kVote, {predicate != 0 ? 1U : 0U});
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) votes |= slots[lane][0] << lane;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == ~0U;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
template <typename T>
T __ldg(const T* from) {
  emulate::checkAccess(from, sizeof(T), false);
  return *from;
}
