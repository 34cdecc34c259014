// Copies are exact at every edge, on one thread and on several, and for several callers at once.
#include "core/memory/copy.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "core/threads/parallel.h"
#include "expect.h"

namespace vgg {
namespace {

/** Copies sizes around a block and the threshold, with several alignments of both ends. Bytes
 * beside the target must not change. */
void copiesAreExact() {
  constexpr size_t kLarge = size_t{2} << 20;
  constexpr size_t kRoom = 2 * kLarge + 4096;
  std::vector<std::byte> from(kRoom);
  std::vector<std::byte> to(kRoom);
  uint32_t random = 1;
  for (std::byte& byte : from)
    byte = static_cast<std::byte>((random = random * 1664525U + 1013904223U) >> 24);
  ThreadPool pool(4, 0);
  const auto checkCopy = [&](size_t bytes, size_t fromOffset, size_t toOffset, bool onThreads) {
    std::ranges::fill(to, std::byte{0xA5});
    std::byte* target = to.data() + toOffset;
    const std::byte* source = from.data() + fromOffset;
    if (onThreads) {
      copyOnThreads(pool, target, source, bytes);
    } else {
      copyBytes(target, source, bytes);
    }
    const auto isUntouched = [](std::byte byte) { return byte == std::byte{0xA5}; };
    EXPECT(std::equal(to.begin() + toOffset, to.begin() + toOffset + bytes,
                      from.begin() + fromOffset));
    EXPECT(std::all_of(to.begin(), to.begin() + toOffset, isUntouched));
    EXPECT(std::all_of(to.begin() + toOffset + bytes, to.end(), isUntouched));
  };
  const auto check = [&](size_t bytes, size_t fromOffset, size_t toOffset) {
    for (const bool onThreads : {false, true}) checkCopy(bytes, fromOffset, toOffset, onThreads);
  };
  for (const size_t edge : {size_t{64}, size_t{4096}, kLarge, kLarge + (size_t{512} << 10)}) {
    for (const ptrdiff_t more : {-65, -64, -63, -1, 0, 1, 63, 64, 65}) {
      if (edge + more > edge && more < 0) continue;  // Negative.
      check(edge + more, 0, 0);
      check(edge + more, 1, 63);
      check(edge + more, 17, 16);
    }
  }
  for (size_t offset = 0; offset <= 64; offset += 3) check(kLarge + 100, offset, 64 - offset);
  copyBytes(nullptr, nullptr, 0);
}

void copiesMayBeMadeAtOnce() {
  constexpr size_t kBytes = (size_t{5} << 20) + 123;
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 1; caller <= 4; ++caller) {
    callers.emplace_back([&wrong, caller] {
      std::vector<std::byte> from(kBytes);
      std::vector<std::byte> to(kBytes);
      for (int i = 0; i < 10; ++i) {
        std::ranges::fill(from, static_cast<std::byte>(16 * i + caller));
        copyBytes(to.data(), from.data(), kBytes);
        if (from != to) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT(wrong == 0);
}

}  // namespace

void testCopies() {
  copiesAreExact();
  copiesMayBeMadeAtOnce();
}

}  // namespace vgg
