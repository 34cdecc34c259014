#include "cuda/completions.h"

#include <utility>

namespace vgg::cuda {

Completions::Completions(Context& context) : context_(context), thread_([this] { loop(); }) {}

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
      context_.check(context_.api().cuEventSynchronize(next.event), "cuEventSynchronize");
    } catch (...) {
      failure = std::current_exception();
    }
    next.done(failure);
    next.done = nullptr;  // what it kept alive is freed before `finish` returns
    lock.lock();
    ++ended_;
    idle_.notify_all();
  }
}

}  // namespace vgg::cuda
