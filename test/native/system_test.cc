// What the system says about the machine and the process is plausible.
#include "core/system.h"

#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "core/threads/parallel.h"
#include "expect.h"

namespace vgg {
namespace {

void theMachineIsPlausible() {
  const size_t page = pageBytes();
  EXPECT(page >= 4096 && (page & (page - 1)) == 0);
  EXPECT(coresOfProcess() >= 1);
  EXPECT(availableCores() >= 1 && availableCores() <= coresOfProcess());
  EXPECT(availableMachineBytes() >= page);
  EXPECT(resourceLimit(Resource::kStack) >= page);
  EXPECT(processId() > 0);
}

void cachesArePlausible() {
  constexpr size_t kOtherwise = 12345;
  for (int level = 1; level <= 3; ++level) {
    const size_t bytes = cacheBytes(level, kOtherwise);
    EXPECT(bytes == kOtherwise || (bytes >= size_t{4} << 10 && bytes <= size_t{4} << 30));
    EXPECT(bytes == cacheBytes(level, 0) || cacheBytes(level, 0) == 0);
  }
  EXPECT(cacheBytes(1, 0) <= cacheBytes(2, std::numeric_limits<size_t>::max()));
  for (const int level : {-1, 0, 4, 9}) EXPECT(cacheBytes(level, kOtherwise) == kOtherwise);
}

void anEnvironmentVariableMayBeEmptyOrMissing() {
  constexpr const char* kName = "VGG_SYSTEM_TEST";
  EXPECT(!findEnvironmentVariable(kName) && environmentVariable(kName).empty());
  setenv(kName, "", 1);
  EXPECT(findEnvironmentVariable(kName) == "");
  setenv(kName, "caf\xc3\xa9", 1);
  EXPECT(environmentVariable(kName) == "caf\xc3\xa9");
  unsetenv(kName);
  EXPECT(!findEnvironmentVariable(kName));
}

void pagesAreAligned() {
  constexpr size_t kAlignment = size_t{2} << 20;
  for (const size_t bytes : {size_t{1}, kAlignment - 1, kAlignment, 5 * kAlignment + 1}) {
    const auto block = allocatePages(bytes, kAlignment);
    EXPECT(block != nullptr && reinterpret_cast<uintptr_t>(block.get()) % kAlignment == 0);
    std::memset(block.get(), 1, bytes);
  }
  EXPECT(allocatePages(size_t{1} << 60, kAlignment) == nullptr);
}

void threadStacksGrow() {
  const auto stackBytes = [] {
    size_t bytes = 0;
    std::thread([&bytes] {
      pthread_attr_t attributes;
      pthread_getattr_np(pthread_self(), &attributes);
      pthread_attr_getstacksize(&attributes, &bytes);
      pthread_attr_destroy(&attributes);
    }).join();
    return bytes;
  };
  const size_t before = stackBytes();
  growThreadStacks(1);
  EXPECT(stackBytes() == before);
  growThreadStacks(before + (size_t{1} << 20));
  EXPECT(stackBytes() == before + (size_t{1} << 20));
}

}  // namespace

void testSystem() {
  theMachineIsPlausible();
  cachesArePlausible();
  anEnvironmentVariableMayBeEmptyOrMissing();
  pagesAreAligned();
  threadStacksGrow();
}

}  // namespace vgg
