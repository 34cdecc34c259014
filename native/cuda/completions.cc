#include "cuda/completions.h"

#include <chrono>
#include <utility>

#include "core/threads/thread.h"

namespace vgg::cuda {
namespace {

/** The time for which the thread polls before it sleeps. A sleeping thread wakes up tens of
 * microseconds late, which is a large part of a forward of one image and negligible in a long run.
 */
constexpr std::chrono::microseconds kPolled{400};

}  // namespace

Completions::Completions(Context& context)
    : context_(context), thread_(startThread([this] { loop(); })) {}

Completions::~Completions() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Completions::await(CUevent event, Completion done) {
  {
    const std::lock_guard lock(mutex_);
    pending_.push_back({event, std::move(done)});
    ++started_;
  }
  wake_.notify_one();
}

void Completions::finish() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this, target = started_] { return ended_ >= target; });
}

void Completions::wait(CUevent event) {
  const Api& api = context_.api();
  const auto end = std::chrono::steady_clock::now() + kPolled;
  while (api.cuEventQuery(event) == CUDA_ERROR_NOT_READY && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  context_.call(api.cuEventSynchronize, event);
}

void Completions::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
    if (pending_.empty()) return;
    Pending next = std::move(pending_.front());
    pending_.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      context_.enter();
      wait(next.event);
    } catch (...) {
      failure = std::current_exception();
    }
    next.done(failure);
    next.done = nullptr;  // frees what it kept alive before `finish` returns
    lock.lock();
    ++ended_;
    idle_.notify_all();
  }
}

}  // namespace vgg::cuda
