#include "core/host_memory.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "core/available_memory.h"
#include "core/error.h"

namespace vgg {
namespace {

constexpr size_t kSmallAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
// Below this a check would cost more than it can save.
constexpr size_t kCheckedBytes = size_t{64} << 20;

}  // namespace

std::shared_ptr<HostMemory> HostMemory::allocate(size_t bytes, std::atomic<size_t>* counter) {
  const size_t alignment = bytes >= 4 * kHugePage ? kHugePage : kSmallAlignment;
  const size_t available =
      bytes >= kCheckedBytes ? availableHostBytes() : std::numeric_limits<size_t>::max();
  void* data =
      bytes > available || bytes > static_cast<size_t>(PTRDIFF_MAX)
          ? nullptr
          : ::operator new(std::max<size_t>(bytes, 1), std::align_val_t(alignment), std::nothrow);
  if (data == nullptr) {
    throw Error(Code::kOutOfMemory, "Expected " + std::to_string(bytes) +
                                        " bytes of host memory but " +
                                        std::to_string(availableHostBytes()) + " are available");
  }
#ifdef __linux__
  // Weights are read from end to end in each forward: fewer, larger pages spare the TLB.
  if (alignment == kHugePage) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return std::shared_ptr<HostMemory>(
      new HostMemory(static_cast<std::byte*>(data), bytes, counter,
                     [data, alignment] { ::operator delete(data, std::align_val_t(alignment)); }));
}

std::shared_ptr<HostMemory> HostMemory::adopt(std::byte* data, size_t bytes,
                                              std::function<void()> release) {
  return std::shared_ptr<HostMemory>(new HostMemory(data, bytes, nullptr, std::move(release)));
}

HostMemory::HostMemory(std::byte* data, size_t bytes, std::atomic<size_t>* counter,
                       std::function<void()> release)
    : data_(data), bytes_(bytes), counter_(counter), release_(std::move(release)) {
  if (counter_ != nullptr) *counter_ += bytes_;
}

HostMemory::~HostMemory() {
  if (counter_ != nullptr) *counter_ -= bytes_;
  release_();
}

}  // namespace vgg
