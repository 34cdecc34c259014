// The thread pool and a device's thread: each index runs once, work runs in order, and an owner may
// go away.
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/threads/device_thread.h"
#include "core/threads/parallel.h"
#include "expect.h"

namespace vgg {
namespace {

void poolCallsEachIndexOnce() {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 2000; ++round) {
      const size_t count = static_cast<size_t>(round % 97);
      std::vector<std::atomic<int>> calls(count);
      pool.run(count, [&](size_t i) { ++calls[i]; });
      for (const auto& called : calls) EXPECT(called == 1);
    }
  }
}

void poolThreadsBeginApart() {
  constexpr size_t kThreads = 4;
  constexpr size_t kCount = 10;
  ThreadPool pool(kThreads);
  for (int round = 0; round < 200; ++round) {
    std::atomic<size_t> arrived{0};
    std::array<size_t, kThreads> first{};
    std::array<std::atomic<int>, kThreads> calls{};
    pool.run(kCount, [&](size_t i, size_t thread) {
      if (calls[thread]++ > 0) return;
      first[thread] = i;
      ++arrived;
      while (arrived < kThreads) std::this_thread::yield();
    });
    EXPECT((first == std::array<size_t, kThreads>{0, 2, 5, 7}));
  }
}

/** The thread with the first block waits for all others, so the other thread does them all. */
void poolThreadsTakeWhatIsLeft() {
  ThreadPool pool(2);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> done{0};
    pool.run(10, [&](size_t i) {
      if (i == 0) {
        while (done < 9) std::this_thread::yield();
      } else {
        ++done;
      }
    });
    EXPECT(done == 9);
  }
}

void deviceThreadDropsAnOwner() {
  DeviceThread thread;
  const int owner = 0;
  const int other = 0;
  std::atomic<int> ran{0};
  std::atomic<bool> started{false};
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto never = std::make_shared<std::atomic<bool>>(false);
  thread.post({&owner, cancelled, [&] {
                 started = true;
                 while (!cancelled->load()) std::this_thread::yield();
               }});
  for (int i = 0; i < 5; ++i) thread.post({&owner, never, [&] { ran += 100; }});
  std::atomic<bool> done{false};
  thread.post({&other, never, [&] {
                 ++ran;
                 done = true;
               }});
  while (!started) std::this_thread::yield();
  thread.dropOwner(&owner);
  while (!done) std::this_thread::yield();
  EXPECT(ran == 1);
}

}  // namespace

void testThreads() {
  poolCallsEachIndexOnce();
  poolThreadsBeginApart();
  poolThreadsTakeWhatIsLeft();
  deviceThreadDropsAnOwner();
}

}  // namespace vgg
