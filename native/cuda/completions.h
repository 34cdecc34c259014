// Ends runs in the order of their starts, on a thread that waits for the GPU. The device's thread
// starts the next run during this wait.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "cuda/nvidia/context.h"

namespace vgg::cuda {

class Completions {
 public:
  explicit Completions(Context& context);
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  /** Calls done(failure or null) once all work before `event` on its stream has ended. */
  void await(CUevent event, Completion done);

  /** Returns when everything awaited before this call has ended. */
  void finish();

 private:
  struct Pending {
    CUevent event;
    Completion done;
  };
  void loop();
  void wait(CUevent event);

  Context& context_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Pending> pending_;
  uint64_t started_ = 0, ended_ = 0;
  bool stopping_ = false;
  std::thread thread_;  // last, because it uses all members above
};

}  // namespace vgg::cuda
