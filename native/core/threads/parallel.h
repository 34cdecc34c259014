// A thread pool with work stealing: each thread takes the blocks of its part one by one, then
// blocks that remain in other parts. A busy core therefore costs little.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace vgg {

/** Returns the number of cores that this process may use: the cores in its affinity mask, or fewer
 * if a control group limits them. At least 1. */
int availableCores();

class ThreadPool {
 public:
  // Layers follow each other within microseconds. A worker spins about half a millisecond for the
  // next one before it sleeps.
  static constexpr int kSpins = 20000;

  /** `threads` includes the calling thread: 1 starts no worker. A worker checks `spins` times for
   * the next call before it sleeps. Throws Error kOutOfMemory if the system cannot start another.
   */
  explicit ThreadPool(int threads, int spins = kSpins);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /** Calls body(i), or body(i, thread) with thread < threads(), once for each i < count, on all
   * threads, and returns when all are done. The indices are split into threads() equal parts and
   * thread t starts with part t. This keeps affinity from call to call: a thread reads its own data
   * from its own caches, and another core's caches are several times as far. `body` must not throw.
   */
  template <typename Body>
  void run(size_t count, const Body& body) {
    if (workers_.empty() || count <= 1) {
      for (size_t i = 0; i < count; ++i) call(body, i, 0);
      return;
    }
    share(
        count,
        [](const void* context, size_t i, size_t thread) {
          call(*static_cast<const Body*>(context), i, thread);
        },
        &body);
  }

 private:
  using Call = void (*)(const void* context, size_t index, size_t thread);

  template <typename Body>
  static void call(const Body& body, size_t index, size_t thread) {
    if constexpr (std::is_invocable_v<const Body&, size_t, size_t>) {
      body(index, thread);
    } else {
      body(index);
    }
  }

  /** The indices that one thread takes first. Each part has its own cache line. */
  struct alignas(64) Part {
    std::atomic<size_t> next{0};
    size_t last = 0;
  };

  void stop();
  void share(size_t count, Call call, const void* context);
  void takeBlocks(size_t thread);
  void loop(size_t thread) noexcept;
  [[nodiscard]] bool hasNews(uint64_t seen) const;

  // Bits 0–15 count the workers that are taking blocks. Bit 16 says whether blocks may be taken.
  // The remaining bits count the calls of `share`. A worker that wakes late finds bit 16 clear and
  // never delays the others.
  std::atomic<uint64_t> state_{0};
  std::vector<Part> parts_;
  Call call_ = nullptr;
  const void* context_ = nullptr;

  const int spins_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace vgg
