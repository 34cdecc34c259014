// Aligned host memory. An allocation that the machine cannot serve throws, so that the process is
// not killed later for using it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/backend.h"

namespace vgg {

class HostMemory final : public Memory {
 public:
  /**
   * `counter`, if given, is increased by `bytes` for the lifetime of the block and must outlive it.
   * Throws Error kOutOfMemory.
   */
  static std::shared_ptr<HostMemory> allocate(size_t bytes, std::atomic<size_t>* counter = nullptr);
  /** Wraps a block that was allocated elsewhere. Releasing `owner` frees it and must not throw. */
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
