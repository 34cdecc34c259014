// Makes the addon's own allocations and thread starts fail. It is loaded twice: by LD_PRELOAD, to
// replace operator new, mmap and pthread_create, and by require(), to say which call fails. Calls
// of other code in the process, such as Node, succeed.
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <node_api.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

/** The addresses of a library's code. */
struct Range {
  uintptr_t first = 0, last = 0;

  [[nodiscard]] bool holds(const void* address) const {
    const auto at = reinterpret_cast<uintptr_t>(address);
    return first <= at && at < last;
  }
};

struct Search {
  const char* name;
  Range found;
};

Range rangeOf(const char* name) {
  Search search{name, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        if (std::strstr(info->dlpi_name, wanted.name) == nullptr) return 0;
        wanted.found.first = UINTPTR_MAX;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          if (part.p_type != PT_LOAD) continue;
          const uintptr_t from = info->dlpi_addr + part.p_vaddr;
          wanted.found.first = std::min(wanted.found.first, from);
          wanted.found.last = std::max(wanted.found.last, from + part.p_memsz);
        }
        return 1;
      },
      &search);
  return search.found;
}

Range addon, standardLibrary, shim;
std::atomic<bool> isWatching{false};

// The armed fault: the failAt-th call fails, or all calls from it on.
std::atomic<int64_t> calls{0}, failAt{0}, failed{0}, outstanding{0};
std::atomic<bool> isLasting{false};

/** Whether a call from `caller` is the addon's: from its code, or from the standard library for it.
 */
bool isOurs(const void* caller) {
  if (!isWatching) return false;
  if (addon.holds(caller)) return true;
  if (!standardLibrary.holds(caller)) return false;
  std::array<void*, 24> frames{};
  const int depth = backtrace(frames.data(), frames.size());
  for (int i = 0; i < depth; ++i) {
    if (!standardLibrary.holds(frames[i]) && !shim.holds(frames[i])) return addon.holds(frames[i]);
  }
  return false;
}

/** Counts a call of the addon. Returns whether it must fail. */
bool isToFail() {
  const int64_t at = failAt;
  if (at == 0) return false;
  const int64_t call = ++calls;
  if (call != at && !(isLasting && call > at)) return false;
  ++failed;
  if (getenv("VGG_FAULT_TRACE") != nullptr) {
    std::array<void*, 32> frames{};
    backtrace_symbols_fd(frames.data(), backtrace(frames.data(), frames.size()), 2);
  }
  return true;
}

/** Stands before each block of the addon, to recognise it when it is freed. */
struct Mark {
  uint64_t offset, magic;
};
constexpr uint64_t kMagic = 0x5e9d3c7fa1b2640d;

void* allocate(size_t bytes, size_t alignment, const void* caller) {
  if (!isOurs(caller)) {
    return alignment <= alignof(std::max_align_t)
               ? std::malloc(std::max<size_t>(bytes, 1))
               : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  if (isToFail()) return nullptr;
  const size_t offset = std::max(alignment, sizeof(Mark));
  if (bytes > SIZE_MAX / 2) return nullptr;
  void* block = std::aligned_alloc(offset, (bytes + 2 * offset - 1) / offset * offset);
  if (block == nullptr) return nullptr;
  ++outstanding;
  auto* data = static_cast<std::byte*>(block) + offset;
  const Mark mark{offset, kMagic};
  std::memcpy(data - sizeof mark, &mark, sizeof mark);
  return data;
}

/** Frees a block. A block from malloc has its size before it, which is not the mark. */
void release(void* data) {
  if (data == nullptr) return;
  Mark mark{};
  auto* before = static_cast<std::byte*>(data) - sizeof mark;
  std::memcpy(&mark.magic, before + offsetof(Mark, magic), sizeof mark.magic);
  if (mark.magic != kMagic) return std::free(data);
  std::memcpy(&mark, before, sizeof mark);
  std::memset(before, 0, sizeof mark);
  --outstanding;
  std::free(static_cast<std::byte*>(data) - mark.offset);
}

void* orThrow(void* data) {
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

napi_value number(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

/** watch() : watches the loaded addon from now on. */
napi_value watch(napi_env, napi_callback_info) {
  addon = rangeOf("vgg_cudnn.node");
  standardLibrary = rangeOf("libstdc++");
  shim = rangeOf("allocation_faults");
  std::array<void*, 4> frames{};
  backtrace(frames.data(), frames.size());  // The first call allocates.
  isWatching = addon.last != 0;
  return nullptr;
}

/** arm(n, lasting) : lets the n-th call from now on fail, or no call if n is 0. Returns how many
 * calls failed since the last arm. */
napi_value arm(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  int64_t n = 0;
  bool lasting = false;
  napi_get_value_int64(env, arguments[0], &n);
  if (count > 1) napi_get_value_bool(env, arguments[1], &lasting);
  failAt = 0;
  const int64_t before = failed.exchange(0);
  calls = 0;
  isLasting = lasting;
  failAt = n;
  return number(env, before);
}

/** alive() : the number of the addon's blocks that are not freed. */
napi_value alive(napi_env env, napi_callback_info) { return number(env, outstanding); }

napi_value initialize(napi_env env, napi_value exports) {
  const auto add = [&](const char* name, napi_callback function) {
    napi_value value = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
    napi_set_named_property(env, exports, name, value);
  };
  add("watch", watch);
  add("arm", arm);
  add("alive", alive);
  return exports;
}

}  // namespace

#define CALLER __builtin_return_address(0)
#define EXPORT __attribute__((visibility("default")))

EXPORT void* operator new(size_t n) { return orThrow(allocate(n, 1, CALLER)); }
EXPORT void* operator new[](size_t n) { return orThrow(allocate(n, 1, CALLER)); }
EXPORT void* operator new(size_t n, std::align_val_t a) {
  return orThrow(allocate(n, static_cast<size_t>(a), CALLER));
}
EXPORT void* operator new[](size_t n, std::align_val_t a) {
  return orThrow(allocate(n, static_cast<size_t>(a), CALLER));
}
EXPORT void* operator new(size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, 1, CALLER);
}
EXPORT void* operator new[](size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, 1, CALLER);
}
EXPORT void* operator new(size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<size_t>(a), CALLER);
}
EXPORT void* operator new[](size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<size_t>(a), CALLER);
}
EXPORT void operator delete(void* p) noexcept { release(p); }
EXPORT void operator delete[](void* p) noexcept { release(p); }
EXPORT void operator delete(void* p, size_t) noexcept { release(p); }
EXPORT void operator delete[](void* p, size_t) noexcept { release(p); }
EXPORT void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
EXPORT void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }
EXPORT void operator delete(void* p, std::align_val_t) noexcept { release(p); }
EXPORT void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
EXPORT void operator delete(void* p, size_t, std::align_val_t) noexcept { release(p); }
EXPORT void operator delete[](void* p, size_t, std::align_val_t) noexcept { release(p); }

extern "C" {

EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*start)(void*), void* argument) noexcept {
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  if (isOurs(CALLER) && isToFail()) return EAGAIN;
  return real(thread, attributes, start, argument);
}

/** Allocates large blocks, which have separate pages. */
EXPORT void* mmap(void* address, size_t length, int protection, int flags, int file,
                  off_t offset) noexcept {
  if (isOurs(CALLER) && isToFail()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  const auto result = syscall(SYS_mmap, address, length, protection, flags, file, offset);
  return reinterpret_cast<void*>(result);
}

EXPORT int32_t node_api_module_get_api_version_v1() { return 9; }
EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  return initialize(env, exports);
}
}
