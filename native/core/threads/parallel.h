// A thread pool: each thread takes blocks of work of its own one by one, then those that others
// have left, so that a busy core costs little.
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

/** The cores that this process may use: its affinity mask, or less where a control group says so.
 * At least 1. */
int availableCores();

class ThreadPool {
 public:
  // Layers follow each other within microseconds: a worker looks about half a millisecond for the
  // next before it sleeps.
  static constexpr int kSpins = 20000;

  /** `threads` counts the calling thread: 1 starts none. A worker looks `spins` times for the next
   * call before it sleeps. Throws Error kOutOfMemory if the system starts no more. */
  explicit ThreadPool(int threads, int spins = kSpins);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /** Calls body(i), or body(i, thread) with thread < threads(), once for each i < count, on all
   * threads, and returns when all are done. Thread t begins at the t-th of as many equal parts of
   * the indices, so that in call after call it meets what it wrote itself: in its own caches, where
   * another core's are several times as far. `body` must not throw. */
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

  /** The indices that one thread takes first; nobody else's on its cache line. */
  struct alignas(64) Part {
    std::atomic<size_t> next{0};
    size_t last = 0;
  };

  void stop();
  void share(size_t count, Call call, const void* context);
  void takeBlocks(size_t thread);
  void loop(size_t thread) noexcept;
  [[nodiscard]] bool hasNews(uint64_t seen) const;

  // One 64-bit word says whether blocks may be taken (bit 16) and how many workers are taking them
  // (bits 0–15); the rest counts the calls of `share`. A worker that wakes late finds the bit clear
  // and never delays the others.
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
