// Tests of the native core that JavaScript cannot see, and main. The arena, random numbers, sizes
// and limits are tested here, the rest in the files that main names.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/memory/arena.h"
#include "core/memory/host_memory.h"
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
  // A chain of equal values, each alive only with its neighbours, needs the space of two.
  std::vector<vgg::Lifetime> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({640, i, i + 1});
  EXPECT(vgg::layOutArena(chain).bytes == 1280);
}

void philoxMatchesItsAuthors() {
  // Known answers from Random123 1.09, kat_vectors, philox4x32-10.
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
/** Whether `body` throws an Error that names the limit on address space and claims nothing
 * impossible. It runs in a process with 128 MiB of address space left. */
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
  // Blocks that are too small for the check of available memory.
  EXPECT(namesAddressSpace([] {
    std::vector<std::shared_ptr<vgg::HostMemory>> blocks;
    for (int i = 0; i < 256; ++i) blocks.push_back(vgg::HostMemory::allocate(size_t{24} << 20));
  }));
}
#else
void limitsAreNamed() {}
#endif

}  // namespace

namespace vgg {
void testThreads();           // threads_test.cc
void testHostPool();          // host_pool_test.cc
void testCopies();            // copy_test.cc
void testMemory();            // available_memory_test.cc
void testSystem();            // system_test.cc
void testPlaces();            // places_test.cc
void testCheckProgram();      // check_program_test.cc
void testDynamicLibraries();  // dynamic_library_test.cc
}  // namespace vgg

namespace vgg::cuda {
void testLibraryFolders();  // library_folders_test.cc
}  // namespace vgg::cuda

namespace vgg::cpu {
int testKernels();   // cpu_kernels_test.cc. Returns the number of failures.
void testChoices();  // cpu_choices_test.cc
void testLayout();   // cpu_layout_test.cc
}  // namespace vgg::cpu

int main() {
  arenaNeverOverlapsWhatLivesTogether();
  arenaReusesBytes();
  philoxMatchesItsAuthors();
  normalNumbersDoNotDependOnTheCut();
  vgg::testThreads();
  sizesThatOverflowAreOutOfMemory();
  limitsAreNamed();
  vgg::testHostPool();
  vgg::testCopies();
  vgg::testMemory();
  vgg::testSystem();
  vgg::testPlaces();
  vgg::testCheckProgram();
  vgg::testDynamicLibraries();
  vgg::cuda::testLibraryFolders();
  vgg::cpu::testChoices();
  vgg::cpu::testLayout();
  failures += vgg::cpu::testKernels();
  std::printf(failures == 0 ? "ok\n" : "%d failures\n", failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
