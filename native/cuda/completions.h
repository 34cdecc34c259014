// The thread that waits for the GPU: what was started is ended in order, while the device's thread
// starts what comes next.
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

  /** Returns when everything that was awaited before has ended. */
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
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vgg::cuda
