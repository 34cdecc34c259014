// The parts of the native core that JavaScript cannot see: the arena, the thread pool, the random
// numbers, copies and pools of memory.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/memory/arena.h"
#include "core/memory/copy.h"
#include "core/memory/host_memory.h"
#include "core/memory/host_pool.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/threads/device_thread.h"
#include "core/threads/parallel.h"
#include "expect.h"

namespace {

void arenaNeverOverlapsWhatLivesTogether() {
  uint32_t random = 1;
  const auto next = [&](uint32_t below) {
    return (random = random * 1664525U + 1013904223U) % below;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<vgg::Lifetime> lives;
    size_t sum = 0;
    for (uint32_t i = 0; i < 2 + next(20); ++i) {
      const int first = static_cast<int>(next(20));
      lives.push_back({next(1000), first, first + static_cast<int>(next(6))});
      sum += (lives.back().bytes + 63) / 64 * 64;
    }
    const vgg::ArenaLayout layout = vgg::layOutArena(lives);
    EXPECT(layout.bytes <= sum);
    for (size_t a = 0; a < lives.size(); ++a) {
      EXPECT(layout.offsets[a] % vgg::kArenaAlignment == 0);
      EXPECT(layout.offsets[a] + lives[a].bytes <= layout.bytes);
      for (size_t b = 0; b < a; ++b) {
        const bool together = lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
        const bool apart = layout.offsets[a] + lives[a].bytes <= layout.offsets[b] ||
                           layout.offsets[b] + lives[b].bytes <= layout.offsets[a];
        EXPECT(!together || apart || lives[a].bytes == 0 || lives[b].bytes == 0);
      }
    }
  }
}

void arenaReusesBytes() {
  // A chain of equal values, each alive only with its neighbours, needs the room of two.
  std::vector<vgg::Lifetime> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({640, i, i + 1});
  EXPECT(vgg::layOutArena(chain).bytes == 1280);
}

void philoxMatchesItsAuthors() {
  // Known answers of Random123 1.09, kat_vectors, philox4x32-10.
  uint32_t zero[4] = {0, 0, 0, 0};
  vgg::philox(zero, 0, 0);
  EXPECT(zero[0] == 0x6627e8d5 && zero[1] == 0xe169c58d && zero[2] == 0xbc57ac4c &&
         zero[3] == 0x9b00dbd8);
  uint32_t ones[4] = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
  vgg::philox(ones, 0xffffffff, 0xffffffff);
  EXPECT(ones[0] == 0x408f276d && ones[1] == 0x41c83b0e && ones[2] == 0xa20bc7c6 &&
         ones[3] == 0x6d5451fd);
}

void normalNumbersDoNotDependOnTheCut() {
  std::vector<float> whole(5000);
  vgg::fillNormal(whole.data(), 0, whole.size(), 7, 3, 2.0F);
  for (const size_t first : {size_t{1}, size_t{2}, size_t{1023}, size_t{1024}, size_t{3001}}) {
    std::vector<float> part(1500);
    vgg::fillNormal(part.data(), first, part.size(), 7, 3, 2.0F);
    for (size_t i = 0; i < part.size(); ++i) EXPECT(part[i] == whole[first + i]);
  }
}

void poolCallsEachIndexOnce() {
  for (const int threads : {1, 2, 5}) {
    vgg::ThreadPool pool(threads);
    for (int round = 0; round < 2000; ++round) {
      const size_t count = static_cast<size_t>(round % 97);
      std::vector<std::atomic<int>> calls(count);
      pool.run(count, [&](size_t i) { ++calls[i]; });
      for (const auto& called : calls) EXPECT(called == 1);
    }
  }
}

void poolThreadsBeginApart() {
  constexpr size_t kThreads = 4;
  constexpr size_t kCount = 10;
  vgg::ThreadPool pool(kThreads);
  for (int round = 0; round < 200; ++round) {
    std::atomic<size_t> arrived{0};
    std::array<size_t, kThreads> first{};
    std::array<std::atomic<int>, kThreads> calls{};
    pool.run(kCount, [&](size_t i, size_t thread) {
      if (calls[thread]++ > 0) return;
      first[thread] = i;
      ++arrived;
      while (arrived < kThreads) std::this_thread::yield();
    });
    EXPECT((first == std::array<size_t, kThreads>{0, 2, 5, 7}));
  }
}

/** The thread with the first block waits for all others: the other thread does them all. */
void poolThreadsTakeWhatIsLeft() {
  vgg::ThreadPool pool(2);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> done{0};
    pool.run(10, [&](size_t i) {
      if (i == 0) {
        while (done < 9) std::this_thread::yield();
      } else {
        ++done;
      }
    });
    EXPECT(done == 9);
  }
}

void sizesThatOverflowAreOutOfMemory() {
  bool threw = false;
  try {
    vgg::elementCount({int64_t{1} << 40, int64_t{1} << 40});
  } catch (const vgg::Error& error) {
    threw = error.code() == vgg::Code::kOutOfMemory;
  }
  EXPECT(threw);
  threw = false;
  try {
    vgg::HostMemory::allocate(size_t{1} << 50);
  } catch (const vgg::Error& error) {
    threw = error.code() == vgg::Code::kOutOfMemory;
  }
  EXPECT(threw);
}

#if defined(VGG_X86) && !defined(__SANITIZE_ADDRESS__)
/** Whether `body`, in a process with this little address space left, throws an Error that names
 * that limit and claims nothing impossible. */
template <typename Body>
bool namesAddressSpace(const Body& body) {
  const pid_t process = fork();
  if (process == 0) {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit limit{};
    limit.rlim_cur = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + (size_t{128} << 20);
    limit.rlim_max = limit.rlim_cur;
    setrlimit(RLIMIT_AS, &limit);
    bool isNamed = false;
    try {
      body();
    } catch (const vgg::Error& error) {
      isNamed = error.code() == vgg::Code::kOutOfMemory &&
                std::strstr(error.what(), "RLIMIT_AS (ulimit -v)") != nullptr;
      size_t asked = 0;
      size_t available = 0;
      if (std::sscanf(error.what(), "Expected %zu bytes of host memory but %zu are", &asked,
                      &available) == 2)
        isNamed = isNamed && available < asked;
      if (!isNamed) std::printf("%s\n", error.what());
    }
    std::_Exit(isNamed ? 0 : 1);
  }
  int status = 1;
  return waitpid(process, &status, 0) == process && status == 0;
}

void limitsAreNamed() {
  EXPECT(namesAddressSpace([] { const vgg::ThreadPool pool(256); }));
  EXPECT(namesAddressSpace([] {
    std::vector<std::unique_ptr<vgg::DeviceThread>> threads;
    for (int i = 0; i < 256; ++i) threads.push_back(std::make_unique<vgg::DeviceThread>());
  }));
  EXPECT(namesAddressSpace([] { vgg::HostMemory::allocate(size_t{256} << 20); }));
  // Small enough not to be held against what is available before.
  EXPECT(namesAddressSpace([] {
    std::vector<std::shared_ptr<vgg::HostMemory>> blocks;
    for (int i = 0; i < 256; ++i) blocks.push_back(vgg::HostMemory::allocate(size_t{24} << 20));
  }));
}
#else
void limitsAreNamed() {}
#endif

/** A pool that keeps this many pages, and counts the pages that it made and the live ones. */
struct CountedPages {
  static constexpr size_t kPage = 4096;
  CountedPages(size_t least, size_t most)
      : pool(std::make_shared<vgg::HostPool>(
            vgg::HostPool::Limits{least * kPage, most * kPage}, [this](size_t bytes) {
              ++made;
              ++alive;
              auto block = vgg::HostMemory::allocate(bytes);
              std::byte* data = block->data();
              return vgg::HostMemory::adopt(
                  data, bytes, std::shared_ptr<void>(data, [this, block](void*) { --alive; }));
            })) {}

  /** Holds `blocks` blocks of `pages` at once. */
  void use(int blocks, size_t pages) const {
    std::vector<std::shared_ptr<vgg::HostMemory>> used;
    for (int i = 0; i < blocks; ++i) used.push_back(pool->allocate(pages * kPage));
  }

  int made = 0, alive = 0;
  std::shared_ptr<vgg::HostPool> pool;
};

void hostPoolServesWithTheSmallestThatFits() {
  CountedPages pages(8, 8);
  const auto use = [&](size_t bytes) { return pages.pool->allocate(bytes)->data(); };
  const std::byte* four = use(13000);
  EXPECT(use(16000) == four);  // both are of four pages
  EXPECT(use(8000) == four);   // wastes no more than half
  EXPECT(use(4000) != four);
  EXPECT(use(16384) == four);
  EXPECT(use(4096) != four);
  EXPECT(pages.made == 2);
  EXPECT(pages.pool->allocate(13000)->bytes() == 13000);
  EXPECT(pages.pool->allocate(0)->bytes() == 0);
  pages.use(1, 9);  // more than it may keep
  pages.use(1, 9);
  EXPECT(pages.made == 5);
}

void hostPoolKeepsWhatCallsOfLateNeeded() {
  CountedPages pages(4, 64);
  for (int i = 0; i < 50; ++i) pages.use(4, 10);
  EXPECT(pages.made == 4);
  // Other sizes take the place of what was not used for longest.
  for (int i = 0; i < 50; ++i) pages.use(4, 3);
  EXPECT(pages.made == 8);
  for (int i = 0; i < 1000; ++i) pages.use(1, 3);
  EXPECT(pages.made == 8);
  EXPECT(pages.alive == 2);  // twice what is in use
  pages.use(8, 10);
  EXPECT(pages.alive == 6);  // sixty-four pages at most
}

void hostPoolMakesNothingForCallsOfManySizes() {
  CountedPages pages(4, 1024);
  uint32_t random = 1;
  std::array<std::shared_ptr<vgg::HostMemory>, 4> inFlight;
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

/** Each size about a block's and the threshold's edges, at alignments of both ends; what lies
 * beside stays. */
void copiesAreExact() {
  constexpr size_t kLarge = size_t{2} << 20;
  constexpr size_t kRoom = 2 * kLarge + 4096;
  std::vector<std::byte> from(kRoom);
  std::vector<std::byte> to(kRoom);
  uint32_t random = 1;
  for (std::byte& byte : from)
    byte = static_cast<std::byte>((random = random * 1664525U + 1013904223U) >> 24);
  vgg::ThreadPool pool(4, 0);
  const auto checkCopy = [&](size_t bytes, size_t fromOffset, size_t toOffset, bool onThreads) {
    std::ranges::fill(to, std::byte{0xA5});
    std::byte* target = to.data() + toOffset;
    const std::byte* source = from.data() + fromOffset;
    if (onThreads) {
      vgg::copyOnThreads(pool, target, source, bytes);
    } else {
      vgg::copyBytes(target, source, bytes);
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
      if (edge + more > edge && more < 0) continue;  // fewer than none
      check(edge + more, 0, 0);
      check(edge + more, 1, 63);
      check(edge + more, 17, 16);
    }
  }
  for (size_t offset = 0; offset <= 64; offset += 3) check(kLarge + 100, offset, 64 - offset);
  vgg::copyBytes(nullptr, nullptr, 0);
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
        vgg::copyBytes(to.data(), from.data(), kBytes);
        if (from != to) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT(wrong == 0);
}

void deviceThreadDropsAnOwner() {
  vgg::DeviceThread thread;
  const int owner = 0;
  const int other = 0;
  std::atomic<int> ran{0};
  std::atomic<bool> started{false};
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  const auto never = std::make_shared<std::atomic<bool>>(false);
  thread.post({&owner, cancelled, [&] {
                 started = true;
                 while (!cancelled->load()) std::this_thread::yield();
               }});
  for (int i = 0; i < 5; ++i) thread.post({&owner, never, [&] { ran += 100; }});
  std::atomic<bool> done{false};
  thread.post({&other, never, [&] {
                 ++ran;
                 done = true;
               }});
  while (!started) std::this_thread::yield();
  thread.dropOwner(&owner);
  while (!done) std::this_thread::yield();
  EXPECT(ran == 1);
}

}  // namespace

namespace vgg {
void testCheckProgram();  // check_program_test.cc
}  // namespace vgg

namespace vgg::cpu {
int testKernels();  // cpu_kernels_test.cc; how many failed
void testLayout();  // cpu_layout_test.cc
}  // namespace vgg::cpu
namespace vgg {
void testMemory();  // available_memory_test.cc
void testPlaces();  // places_test.cc
}  // namespace vgg

int main() {
  arenaNeverOverlapsWhatLivesTogether();
  arenaReusesBytes();
  philoxMatchesItsAuthors();
  normalNumbersDoNotDependOnTheCut();
  poolCallsEachIndexOnce();
  poolThreadsBeginApart();
  poolThreadsTakeWhatIsLeft();
  sizesThatOverflowAreOutOfMemory();
  limitsAreNamed();
  hostPoolServesWithTheSmallestThatFits();
  hostPoolKeepsWhatCallsOfLateNeeded();
  hostPoolMakesNothingForCallsOfManySizes();
  copiesAreExact();
  copiesMayBeMadeAtOnce();
  deviceThreadDropsAnOwner();
  vgg::testMemory();
  vgg::testPlaces();
  vgg::testCheckProgram();
  vgg::cpu::testLayout();
  failures += vgg::cpu::testKernels();
  std::printf(failures == 0 ? "ok\n" : "%d failures\n", failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
