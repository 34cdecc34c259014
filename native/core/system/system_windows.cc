// What Windows says about the machine and this process.
// clang-format off
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
// clang-format on

#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "core/path.h"
#include "core/system.h"

namespace vgg {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();
constexpr size_t kMaxVariable = 32768;  // characters, with the terminating zero

/** Returns text as UTF-8. Half a surrogate pair becomes U+FFFD. */
std::string utf8Of(const std::wstring& text) {
  const auto length = static_cast<int>(text.size());
  const int bytes =
      WideCharToMultiByte(CP_UTF8, 0, text.data(), length, nullptr, 0, nullptr, nullptr);
  std::string utf8(static_cast<size_t>(bytes), '\0');
  WideCharToMultiByte(CP_UTF8, 0, text.data(), length, utf8.data(), bytes, nullptr, nullptr);
  return utf8;
}

}  // namespace

size_t cacheBytes(int level, size_t otherwise) {
  using Entry = SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX;
  DWORD bytes = 0;
  GetLogicalProcessorInformationEx(RelationCache, nullptr, &bytes);
  std::vector<std::byte> entries(bytes);
  if (bytes == 0 || GetLogicalProcessorInformationEx(
                        RelationCache, reinterpret_cast<Entry*>(entries.data()), &bytes) == 0)
    return otherwise;
  for (size_t at = 0; at < bytes;) {
    const auto& entry = *reinterpret_cast<const Entry*>(entries.data() + at);
    if (entry.Cache.Level == level && entry.Cache.Type != CacheInstruction)
      return entry.Cache.CacheSize;
    at += entry.Size;
  }
  return otherwise;
}

size_t pageBytes() {
  SYSTEM_INFO info{};
  GetSystemInfo(&info);
  return info.dwPageSize;
}

size_t availableMachineBytes(const std::string&) {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  // What may still be committed. Windows counts an allocation as soon as it is made, and refuses it
  // rather than end a process later.
  return GlobalMemoryStatusEx(&status) != 0 ? static_cast<size_t>(status.ullAvailPageFile)
                                            : kUnlimited;
}

int coresOfProcess() {
  DWORD_PTR process = 0;
  DWORD_PTR system = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &process, &system) == 0) return 0;
  // Both masks are 0 if the process uses several groups of up to 64 processors.
  return process != 0 ? std::popcount(static_cast<uint64_t>(process))
                      : static_cast<int>(GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
}

uint64_t processId() { return GetCurrentProcessId(); }

std::optional<std::string> findEnvironmentVariable(const char* name) {
  const std::wstring wideName(name, name + std::strlen(name));  // names here are ASCII
  std::wstring value(kMaxVariable, L'\0');
  SetLastError(ERROR_SUCCESS);
  const DWORD length =
      GetEnvironmentVariableW(wideName.c_str(), value.data(), static_cast<DWORD>(value.size()));
  if (length == 0 && GetLastError() == ERROR_ENVVAR_NOT_FOUND) return std::nullopt;
  value.resize(length);
  return utf8Of(value);
}

size_t resourceLimit(Resource) { return kUnlimited; }

void growThreadStacks(size_t) {}  // they are as large as the program says, usually 1 MiB

std::shared_ptr<void> allocatePages(size_t bytes, size_t alignment) {
  // Space is reserved at any address, and the part from the next multiple on is committed.
  void* reserved = VirtualAlloc(nullptr, bytes + alignment, MEM_RESERVE, PAGE_NOACCESS);
  if (reserved == nullptr) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(reserved);
  const size_t before = (alignment - address % alignment) % alignment;
  void* data =
      VirtualAlloc(static_cast<std::byte*>(reserved) + before, bytes, MEM_COMMIT, PAGE_READWRITE);
  if (data == nullptr) {
    VirtualFree(reserved, 0, MEM_RELEASE);
    return nullptr;
  }
  return {data, [reserved](void*) { VirtualFree(reserved, 0, MEM_RELEASE); }};
}

std::vector<std::string> namesIn(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  WIN32_FIND_DATAW entry;
  const HANDLE found = FindFirstFileW((folder / L"*").c_str(), &entry);
  if (found == INVALID_HANDLE_VALUE) return names;
  const auto close = [](void* handle) { FindClose(handle); };
  const std::unique_ptr<void, decltype(close)> open(found, close);
  do {
    std::string name = utf8Of(std::filesystem::path(entry.cFileName));
    if (name != "." && name != "..") names.push_back(std::move(name));
  } while (FindNextFileW(found, &entry) != 0);
  return names;
}

}  // namespace vgg
