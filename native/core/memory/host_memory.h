// Aligned host memory that refuses what the machine cannot give, instead of being killed for using
// it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/backend.h"

namespace vgg {

class HostMemory final : public Memory {
 public:
  /**
   * `counter`, if given, is raised by `bytes` for the life of the block and must outlive it.
   * Throws Error kOutOfMemory.
   */
  static std::shared_ptr<HostMemory> allocate(size_t bytes, std::atomic<size_t>* counter = nullptr);
  /** A block that somebody else allocated; letting go of `owner`, which must not throw, frees it.
   */
  static std::shared_ptr<HostMemory> adopt(std::byte* data, size_t bytes,
                                           std::shared_ptr<void> owner);
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  [[nodiscard]] size_t bytes() const override { return bytes_; }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(data_); }

 private:
  HostMemory(std::byte* data, size_t bytes, std::atomic<size_t>* counter,
             std::shared_ptr<void> owner);

  std::byte* data_;
  size_t bytes_;
  std::atomic<size_t>* counter_;
  std::shared_ptr<void> owner_;
};

}  // namespace vgg
