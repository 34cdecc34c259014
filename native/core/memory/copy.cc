#include "core/memory/copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/error.h"
#include "core/threads/parallel.h"

namespace vgg {
namespace {

// Below this the caches hold source and target, and waking a thread takes as long as the copy.
constexpr size_t kLarge = size_t{2} << 20;
constexpr size_t kBlock = size_t{512} << 10;
// One thread copies 5 to 20 GB/s, depending on the machine; PCIe 5.0 carries 50. At most half of
// the cores are used; the rest compute.
constexpr int kMaxThreads = 4;

struct Copiers {
  std::mutex mutex;  // held while the pool copies
  std::unique_ptr<ThreadPool> pool;

  Copiers() {
    try {
      pool = std::make_unique<ThreadPool>(std::clamp(availableCores() / 2, 1, kMaxThreads), 0);
    } catch (const Error&) {
      pool = std::make_unique<ThreadPool>(1);  // the system allows no more threads
    }
  }
};

// Never destroyed, because its threads still sleep while static destructors run.
Copiers& copiers() {
  static auto* const instance = new Copiers;
  return *instance;
}

/** A memcpy with streaming stores, which neither read the lines that they overwrite nor evict
 * others.
 */
void copyPastCaches(std::byte* to, const std::byte* from, size_t bytes) {
#ifdef __SSE2__
  constexpr size_t kLine = 64;
  constexpr size_t kAhead = 1024;
  const size_t head = std::min(bytes, -reinterpret_cast<uintptr_t>(to) % kLine);
  std::memcpy(to, from, head);
  size_t at = head;
  for (; at + kLine <= bytes; at += kLine) {
    _mm_prefetch(from + at + kAhead, _MM_HINT_NTA);
    const auto* read = reinterpret_cast<const __m128i*>(from + at);
    auto* written = reinterpret_cast<__m128i*>(to + at);
    const __m128i line[] = {_mm_loadu_si128(read), _mm_loadu_si128(read + 1),
                            _mm_loadu_si128(read + 2), _mm_loadu_si128(read + 3)};
    for (int i = 0; i < 4; ++i) _mm_stream_si128(written + i, line[i]);
  }
  _mm_sfence();  // orders the streaming stores before later ones for other threads
  std::memcpy(to + at, from + at, bytes - at);
#else
  std::memcpy(to, from, bytes);
#endif
}

}  // namespace

void copyBytes(std::byte* to, const std::byte* from, size_t bytes) {
  if (bytes < kLarge) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return;
  }
  const std::unique_lock lock(copiers().mutex, std::try_to_lock);
  if (!lock.owns_lock()) return copyPastCaches(to, from, bytes);
  copyOnThreads(*copiers().pool, to, from, bytes);
}

void copyOnThreads(ThreadPool& pool, std::byte* to, const std::byte* from, size_t bytes) {
  pool.run((bytes + kBlock - 1) / kBlock, [=](size_t block) {
    const size_t first = block * kBlock;
    copyPastCaches(to + first, from + first, std::min(kBlock, bytes - first));
  });
}

}  // namespace vgg
