// What the operating system says about the machine and this process. Each system has its own
// sources in system/, which CMakeLists.txt chooses by the ends of their names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vgg {

/** Returns the bytes of the data cache of this level (1 to 3) that a core has, or its share if
 * several cores of macOS share it. Returns `otherwise` if the system does not report it. */
size_t cacheBytes(int level, size_t otherwise);

/** Returns the bytes of a page of virtual memory. */
size_t pageBytes();

/** Returns the bytes that the machine can still give a process, or the largest size_t if the system
 * does not report them. `root` is the root of the file system that Linux reports them in. */
size_t availableMachineBytes(const std::string& root = "");

/** Returns the number of cores that this process may run on, or 0 if the system does not report it.
 * Cores of macOS that are slower than others do not count, because the work is cut into equal
 * parts. */
int coresOfProcess();

/** Returns the number that identifies this process while it runs. */
uint64_t processId();

/** Returns an environment variable as UTF-8. On Windows this is the system's value, which
 * JavaScript's changes reach, and not the C library's copy. */
std::optional<std::string> findEnvironmentVariable(const char* name);

/** Returns an environment variable as UTF-8, or "" if it is not set. */
inline std::string environmentVariable(const char* name) {
  return findEnvironmentVariable(name).value_or("");
}

/** Returns the names in a folder as UTF-8, in any order, or none if it cannot be read. A directory
 * iterator of libstdc++ ends the process if there is no memory for a name. */
std::vector<std::string> namesIn(const std::filesystem::path& folder);

/** What the system may limit for this process. */
enum class Resource : uint8_t { kAddressSpace, kData, kStack, kThreads };

/** Returns the limit, or the largest size_t if there is none: bytes, for threads their number. Only
 * Linux has limits that this library keeps to. */
size_t resourceLimit(Resource resource);

/** Makes the stacks of threads that start later at least this large. musl's have 128 KiB otherwise.
 */
void growThreadStacks(size_t bytes);

/** Allocates a large block at a multiple of `alignment`, in large pages if the system has them. Its
 * pages return to the system when it is freed. Returns null if the system refuses. */
std::shared_ptr<void> allocatePages(size_t bytes, size_t alignment);

}  // namespace vgg
