// The limit on the bytes that calls have copied and that wait for a device.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace vgg {

class QueueBudget : public std::enable_shared_from_this<QueueBudget> {
 public:
  /** The bytes of one call. They count until the share is released or destroyed. */
  class Share {
   public:
    Share(std::shared_ptr<QueueBudget> budget, size_t bytes)
        : budget_(std::move(budget)), bytes_(bytes) {}
    ~Share() { release(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    /** Callable on any thread. A second call does nothing. */
    void release();

   private:
    friend class QueueBudget;
    const std::shared_ptr<QueueBudget> budget_;
    size_t bytes_;  // guarded by the budget's mutex
  };

  /** A `limit` of 0 means a quarter of the memory that is available now. */
  explicit QueueBudget(size_t limit);

  /**
   * Callable on any thread. If nothing waits, a call of any size is accepted; a call that copies
   * nothing is always accepted. Throws Error kQueueFull.
   */
  std::shared_ptr<Share> take(size_t bytes);

  [[nodiscard]] size_t limit() const { return limit_; }
  [[nodiscard]] size_t used() const;

 private:
  const size_t limit_;
  mutable std::mutex mutex_;
  size_t used_ = 0;
};

}  // namespace vgg
