// Aligned host memory that refuses what the machine cannot give, instead of being killed for using
// it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/backend.h"

namespace vgg {

/** Bytes that this process may still allocate: the machine's, or less where a control group says
 * so. */
size_t availableHostBytes();

class HostMemory final : public Memory {
 public:
  /**
   * `counter`, if given, is raised by `bytes` for the life of the block and must outlive it.
   * Throws Error kOutOfMemory.
   */
  static std::shared_ptr<HostMemory> allocate(size_t bytes, std::atomic<size_t>* counter = nullptr);
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  [[nodiscard]] size_t bytes() const override { return bytes_; }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(data_); }

 private:
  HostMemory(std::byte* data, size_t bytes, size_t alignment, std::atomic<size_t>* counter);

  std::byte* data_;
  size_t bytes_, alignment_;
  std::atomic<size_t>* counter_;
};

}  // namespace vgg
