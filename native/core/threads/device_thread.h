// The thread on which everything of a device happens, first in, first out. It lives as long as the
// process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace vgg {

/** Set from any thread to drop a task that waits, or to stop one that runs at its next step. */
using Cancellation = std::shared_ptr<std::atomic<bool>>;

class DeviceThread {
 public:
  struct Task {
    const void* owner;       // who waits for it: the data of one JavaScript environment
    Cancellation cancelled;  // never null
    std::function<void()>
        work;  // must not throw; where `cancelled` is set it computes nothing and only says so
  };

  using Tasks = std::list<Task>;

  /** Throws Error kOutOfMemory if the system starts no more threads. */
  DeviceThread();
  ~DeviceThread();
  DeviceThread(const DeviceThread&) = delete;
  DeviceThread& operator=(const DeviceThread&) = delete;

  /** Tasks that were allocated before: this cannot fail. */
  void post(Tasks tasks) noexcept;
  void post(Task task);

  /** Wakes the thread for a task that will be posted within some microseconds: waking takes it
   * longer than the caller needs to prepare the task. */
  void expectTask();

  /** For the end of the process: what waits and what comes is kept but never runs, nor is it
   * destroyed. Returns when nothing runs. */
  void halt();

  /** Whether the caller runs on this thread. */
  [[nodiscard]] bool isCurrent() const { return std::this_thread::get_id() == thread_.get_id(); }

  /** Takes the owner's waiting tasks that are cancelled out of the queue and ends them on the
   * calling thread. */
  void endCancelled(const void* owner) noexcept;

  /** Forgets the owner's waiting tasks, cancels the one that runs and returns when it has ended. */
  void dropOwner(const void* owner) noexcept;

 private:
  void loop() noexcept;

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Tasks tasks_;
  std::atomic<bool> hasNews_{false};  // since the thread last found nothing to do
  const void* runningOwner_ = nullptr;
  Cancellation runningCancelled_;
  bool isRunning_ = false, isTaskExpected_ = false, stopping_ = false, halted_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vgg
