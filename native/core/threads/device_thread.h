// The thread that runs all tasks of a device, first in, first out. It lives as long as the process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace vgg {

/** Set on any thread to drop a waiting task or to stop a running one at its next step. */
using Cancellation = std::shared_ptr<std::atomic<bool>>;

class DeviceThread {
 public:
  struct Task {
    const void* owner;       // the data of the JavaScript environment that waits for it
    Cancellation cancelled;  // never null
    std::function<void()>
        work;  // must not throw; if `cancelled` is set, it computes nothing and only reports that
  };

  using Tasks = std::list<Task>;

  /** Throws Error kOutOfMemory if the system cannot start another thread. */
  DeviceThread();
  ~DeviceThread();
  DeviceThread(const DeviceThread&) = delete;
  DeviceThread& operator=(const DeviceThread&) = delete;

  /** Posts tasks that are already allocated, so this cannot fail. */
  void post(Tasks tasks) noexcept;
  void post(Task task);

  /** Wakes the thread for a task that will be posted within microseconds. The wake-up takes longer
   * than the caller needs to prepare the task. */
  void expectTask();

  /** Called at process exit. Waiting and later tasks are kept but neither run nor destroyed.
   * Returns when nothing runs. */
  void halt();

  /** Returns whether the caller runs on this thread. */
  [[nodiscard]] bool isCurrent() const { return std::this_thread::get_id() == thread_.get_id(); }

  /** Removes the owner's cancelled tasks from the queue and ends them on the calling thread. */
  void endCancelled(const void* owner) noexcept;

  /** Drops the owner's waiting tasks, cancels the running one and waits until it has ended. */
  void dropOwner(const void* owner) noexcept;

 private:
  void loop() noexcept;

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Tasks tasks_;
  std::atomic<bool> hasNews_{false};  // tasks came since the thread last found none
  const void* runningOwner_ = nullptr;
  Cancellation runningCancelled_;
  bool isRunning_ = false, isTaskExpected_ = false, stopping_ = false, halted_ = false;
  std::thread thread_;  // declared last: it uses all members above
};

}  // namespace vgg
