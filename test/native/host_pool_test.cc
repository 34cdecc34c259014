// The pool of host memory: which block serves a call, and which blocks it keeps.
#include "core/memory/host_pool.h"

#include <array>
#include <memory>
#include <vector>

#include "core/memory/host_memory.h"
#include "expect.h"

namespace vgg {
namespace {

/** A pool with limits in pages. Counts the blocks that it has made and the live ones. */
struct CountedPages {
  static constexpr size_t kPage = 4096;
  CountedPages(size_t least, size_t most)
      : pool(std::make_shared<HostPool>(
            HostPool::Limits{least * kPage, most * kPage}, [this](size_t bytes) {
              ++made;
              ++alive;
              auto block = HostMemory::allocate(bytes);
              std::byte* data = block->data();
              return HostMemory::adopt(
                  data, bytes, std::shared_ptr<void>(data, [this, block](void*) { --alive; }));
            })) {}

  /** Holds `blocks` blocks of `pages` at once. */
  void use(int blocks, size_t pages) const {
    std::vector<std::shared_ptr<HostMemory>> used;
    for (int i = 0; i < blocks; ++i) used.push_back(pool->allocate(pages * kPage));
  }

  int made = 0, alive = 0;
  std::shared_ptr<HostPool> pool;
};

void hostPoolServesWithTheSmallestThatFits() {
  CountedPages pages(8, 8);
  const auto use = [&](size_t bytes) { return pages.pool->allocate(bytes)->data(); };
  const std::byte* four = use(13000);
  EXPECT(use(16000) == four);  // Both have four pages.
  EXPECT(use(8000) == four);   // Wastes no more than half.
  EXPECT(use(4000) != four);
  EXPECT(use(16384) == four);
  EXPECT(use(4096) != four);
  EXPECT(pages.made == 2);
  EXPECT(pages.pool->allocate(13000)->bytes() == 13000);
  EXPECT(pages.pool->allocate(0)->bytes() == 0);
  pages.use(1, 9);  // More than it may keep.
  pages.use(1, 9);
  EXPECT(pages.made == 5);
}

void hostPoolKeepsWhatCallsOfLateNeeded() {
  CountedPages pages(4, 64);
  for (int i = 0; i < 50; ++i) pages.use(4, 10);
  EXPECT(pages.made == 4);
  // Other sizes replace the least recently used blocks.
  for (int i = 0; i < 50; ++i) pages.use(4, 3);
  EXPECT(pages.made == 8);
  for (int i = 0; i < 1000; ++i) pages.use(1, 3);
  EXPECT(pages.made == 8);
  EXPECT(pages.alive == 2);  // Twice the blocks in use.
  pages.use(8, 10);
  EXPECT(pages.alive == 6);  // At most 64 pages.
}

void hostPoolMakesNothingForCallsOfManySizes() {
  CountedPages pages(4, 1024);
  uint32_t random = 1;
  std::array<std::shared_ptr<HostMemory>, 4> inFlight;
  const auto call = [&](int count) {
    for (int i = 0; i < count; ++i) {
      random = random * 1664525U + 1013904223U;
      auto& slot = inFlight[static_cast<size_t>(i) % inFlight.size()];
      slot = nullptr;
      slot = pages.pool->allocate(CountedPages::kPage * (8 + (random >> 24) % 25));
    }
  };
  call(1000);
  const int before = pages.made;
  call(1000);
  EXPECT(pages.made - before < 20);
}

}  // namespace

void testHostPool() {
  hostPoolServesWithTheSmallestThatFits();
  hostPoolKeepsWhatCallsOfLateNeeded();
  hostPoolMakesNothingForCallsOfManySizes();
}

}  // namespace vgg
