// The bound on the bytes that calls copy and that wait for a device.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace vgg {

class QueueBudget : public std::enable_shared_from_this<QueueBudget> {
 public:
  /** The bytes of one call, until it is released or destroyed. */
  class Share {
   public:
    Share(std::shared_ptr<QueueBudget> budget, size_t bytes)
        : budget_(std::move(budget)), bytes_(bytes) {}
    ~Share() { release(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    /** On any thread. Twice is nothing. */
    void release();

   private:
    friend class QueueBudget;
    const std::shared_ptr<QueueBudget> budget_;
    size_t bytes_;  // guarded by the budget's mutex
  };

  /** `limit` 0: a quarter of the memory that is available now. */
  explicit QueueBudget(size_t limit);

  /**
   * On any thread. One call of any size is taken when nothing waits, and a call that copies nothing
   * always is. Throws Error kQueueFull.
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
