#include "core/threads/device_thread.h"

#include <utility>

#include "core/threads/spin.h"
#include "core/threads/thread.h"

namespace vgg {
namespace {

// A caller that awaits one run after the other posts the next task within microseconds. The thread
// spins about that long before it sleeps.
constexpr int kSpins = 3000;

}  // namespace

DeviceThread::DeviceThread() : thread_(startThread([this] { loop(); })) {}

DeviceThread::~DeviceThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    hasNews_ = true;
    tasks_.clear();
  }
  wake_.notify_all();
  thread_.join();
}

void DeviceThread::post(Task task) {
  Tasks tasks;
  tasks.push_back(std::move(task));
  post(std::move(tasks));
}

void DeviceThread::post(Tasks tasks) noexcept {
  {
    const std::lock_guard lock(mutex_);
    tasks_.splice(tasks_.end(), tasks);
    hasNews_ = true;
  }
  wake_.notify_one();
}

void DeviceThread::expectTask() {
  {
    const std::lock_guard lock(mutex_);
    isTaskExpected_ = true;
  }
  wake_.notify_one();
}

void DeviceThread::halt() {
  std::unique_lock lock(mutex_);
  halted_ = true;
  idle_.wait(lock, [this] { return !isRunning_; });
}

void DeviceThread::endCancelled(const void* owner) noexcept {
  Tasks ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto next = tasks_.begin(); next != tasks_.end();) {
      const auto task = next++;
      if (task->owner == owner && task->cancelled->load()) ended.splice(ended.end(), tasks_, task);
    }
  }
  for (const Task& task : ended) task.work();
}

void DeviceThread::dropOwner(const void* owner) noexcept {
  Tasks dropped;  // destroyed after the lock is released: it may free large memory
  std::unique_lock lock(mutex_);
  for (auto next = tasks_.begin(); next != tasks_.end();) {
    const auto task = next++;
    if (task->owner == owner) dropped.splice(dropped.end(), tasks_, task);
  }
  if (runningOwner_ == owner && runningCancelled_) *runningCancelled_ = true;
  idle_.wait(lock, [&] { return runningOwner_ != owner; });
}

void DeviceThread::loop() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (tasks_.empty() && !stopping_) {
      hasNews_ = false;
      lock.unlock();
      spin(kSpins, [this] { return hasNews_.load(); });
      lock.lock();
    }
    wake_.wait(lock,
               [this] { return stopping_ || (!halted_ && (isTaskExpected_ || !tasks_.empty())); });
    isTaskExpected_ = false;
    if (stopping_) return;
    if (tasks_.empty()) continue;  // spins for the expected task
    Tasks current;
    current.splice(current.end(), tasks_, tasks_.begin());
    Task& task = current.front();
    isRunning_ = true;
    runningOwner_ = task.owner;
    runningCancelled_ = task.cancelled;
    lock.unlock();
    task.work();
    task.work = nullptr;  // frees what it kept alive before the owner learns of its end
    lock.lock();
    isRunning_ = false;
    runningOwner_ = nullptr;
    runningCancelled_ = nullptr;
    idle_.notify_all();
  }
}

}  // namespace vgg
