#include "core/threads/parallel.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/system.h"
#include "core/threads/spin.h"
#include "core/threads/thread.h"

namespace vgg {
namespace {

constexpr uint64_t kInside = 0xFFFF;
constexpr uint64_t kOpen = 0x10000;
constexpr uint64_t kCall = 0x20000;

}  // namespace

int availableCores() {
  int cores = coresOfProcess();
  if (cores == 0) cores = static_cast<int>(std::thread::hardware_concurrency());
  std::ifstream limit("/sys/fs/cgroup/cpu.max");  // "max 100000" or "150000 100000"
  double quota = 0;
  double period = 0;
  if (limit >> quota >> period && period > 0)
    cores = std::min(cores, static_cast<int>(std::ceil(quota / period)));
  return std::max(cores, 1);
}

ThreadPool::ThreadPool(int threads, int spins)
    : parts_(static_cast<size_t>(threads)), spins_(spins) {
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int i = 1; i < threads; ++i)
      workers_.push_back(startThread([this, i] { loop(static_cast<size_t>(i)); }));
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::share(size_t count, Call call, const void* context) {
  call_ = call;
  context_ = context;
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].next = i * count / parts_.size();
    parts_[i].last = (i + 1) * count / parts_.size();
  }
  state_.fetch_add(kCall | kOpen);
  if (sleepers_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  takeBlocks(0);
  state_.fetch_and(~kOpen);
  for (int spins = 0; (state_.load() & kInside) != 0; ++spins) {
    if (spins < kSpins) {
      pauseThread();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::takeBlocks(size_t thread) {
  for (size_t turn = 0; turn < parts_.size(); ++turn) {
    Part& part = parts_[(thread + turn) % parts_.size()];
    // Check before the fetch_add: the line of a used-up part stays shared in every core's cache.
    while (part.next.load() < part.last) {
      const size_t i = part.next.fetch_add(1);
      if (i < part.last) call_(context_, i, thread);
    }
  }
}

bool ThreadPool::hasNews(uint64_t seen) const {
  const uint64_t state = state_.load();
  return ((state & kOpen) != 0 && state / kCall != seen) || stopping_.load();
}

void ThreadPool::loop(size_t thread) noexcept {
  uint64_t seen = 0;  // the last call of `share` that this worker helped with
  for (;;) {
    if (!spin(spins_, [&] { return hasNews(seen); })) {
      std::unique_lock lock(mutex_);
      ++sleepers_;
      wake_.wait(lock, [&] { return hasNews(seen); });
      --sleepers_;
    }
    if (stopping_.load()) return;
    uint64_t state = state_.load();
    while ((state & kOpen) != 0 && state / kCall != seen) {
      if (!state_.compare_exchange_weak(state, state + 1)) continue;
      seen = state / kCall;
      takeBlocks(thread);
      state_.fetch_sub(1);
      break;
    }
  }
}

}  // namespace vgg
