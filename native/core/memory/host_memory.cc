#include "core/memory/host_memory.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/memory/available_memory.h"
#include "core/system.h"

namespace vgg {
namespace {

constexpr size_t kSmallAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
// Below this size a check would cost more than it can save.
constexpr size_t kCheckedBytes = size_t{64} << 20;

/** Returns an error that says why `bytes` cannot be allocated, with the limit if one explains it.
 */
Error refusal(size_t bytes, size_t alignment) {
  const HostLimit limit = hostLimit();
  std::string text = "Expected " + std::to_string(bytes) + " bytes of host memory but ";
  const std::string available = std::to_string(limit.bytes) + " are available";
  if (bytes <= limit.bytes && limit.bytes - bytes >= alignment) {
    text += "the system refused them, although " + available;
  } else {
    text += available;
  }
  if (limit.name != nullptr) text += std::string(" within ") + limit.name;
  return {Code::kOutOfMemory, text};
}

std::shared_ptr<void> allocateAligned(size_t bytes, size_t alignment) {
  if (alignment == kHugePage) return allocatePages(bytes, alignment);
  void* data =
      ::operator new(std::max<size_t>(bytes, 1), std::align_val_t(alignment), std::nothrow);
  if (data == nullptr) return nullptr;
  return {data, [alignment](void* last) { ::operator delete(last, std::align_val_t(alignment)); }};
}

}  // namespace

std::shared_ptr<HostMemory> HostMemory::allocate(size_t bytes, std::atomic<size_t>* counter) {
  // malloc would keep freed blocks of this size, and take the blocks of later loads from new
  // places.
  const size_t alignment = bytes >= kHugePage ? kHugePage : kSmallAlignment;
  const size_t available =
      bytes >= kCheckedBytes ? availableHostBytes() : std::numeric_limits<size_t>::max();
  std::shared_ptr<void> owner;
  if (bytes <= available && bytes <= static_cast<size_t>(PTRDIFF_MAX))
    owner = allocateAligned(bytes, alignment);
  if (owner == nullptr) throw refusal(bytes, alignment);
  auto* data = static_cast<std::byte*>(owner.get());
  return std::shared_ptr<HostMemory>(new HostMemory(data, bytes, counter, std::move(owner)));
}

std::shared_ptr<HostMemory> HostMemory::adopt(std::byte* data, size_t bytes,
                                              std::shared_ptr<void> owner) {
  return std::shared_ptr<HostMemory>(new HostMemory(data, bytes, nullptr, std::move(owner)));
}

HostMemory::HostMemory(std::byte* data, size_t bytes, std::atomic<size_t>* counter,
                       std::shared_ptr<void> owner)
    : data_(data), bytes_(bytes), counter_(counter), owner_(std::move(owner)) {
  if (counter_ != nullptr) *counter_ += bytes_;
}

HostMemory::~HostMemory() {
  if (counter_ != nullptr) *counter_ -= bytes_;
}

}  // namespace vgg
