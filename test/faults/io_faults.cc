// A library to preload. It can make every call fail that Node.js makes to the C library for a file
// below VGG_IO_FAULTS. Node.js controls it with paths that no file system has:
// access("/vgg-io-faults/ACTION/N/ERRNO") arms the N-th call (no call if 0), and
// readlink("/vgg-io-faults/status") answers "CALLS HIT OPEN": the number of calls, the name of the
// first one that failed or "-", and the number of open descriptors.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr const char* kOrders = "/vgg-io-faults/";
constexpr int kMaxDescriptors = 65536;

enum Action { kOnce, kForEver, kShort, kKill };

std::atomic<int> action{kOnce};
std::atomic<long> failing{0};
std::atomic<int> error{EIO};
std::atomic<long> calls{0};
std::atomic<const char*> hit{nullptr};
/** Whether a descriptor belongs to a file below the folder. */
std::array<std::atomic<bool>, kMaxDescriptors> watched;

/** The C library's own function with this name. */
template <typename F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) (real<decltype(name)>(#name))

bool isBelow(const char* path) {
  static const char* const folder = std::getenv("VGG_IO_FAULTS");
  return folder != nullptr && path != nullptr &&
         std::strncmp(path, folder, std::strlen(folder)) == 0;
}

bool isWatched(int descriptor) {
  return descriptor >= 0 && descriptor < kMaxDescriptors && watched[descriptor];
}

int watch(int descriptor) {
  if (descriptor >= 0 && descriptor < kMaxDescriptors) watched[descriptor] = true;
  return descriptor;
}

/** Counts a call. Returns whether it must fail, and then sets errno. */
bool fails(const char* name) {
  const long call = ++calls;
  const long at = failing;
  if (at == 0 || action == kShort) return false;
  if (call != at && !(action == kForEver && call > at)) return false;
  if (action == kKill) raise(SIGKILL);
  const char* none = nullptr;
  hit.compare_exchange_strong(none, name);
  errno = error;
  return true;
}

/** The bytes that a call may move: about a third if short calls are armed. */
size_t cut(size_t bytes) {
  return action == kShort && failing != 0 && bytes > 16 ? bytes / 3 + 1 : bytes;
}

template <typename Close>
int closeWith(int descriptor, Close close) {
  const bool isOurs = isWatched(descriptor);
  if (isOurs) watched[descriptor] = false;
  const int result = close(descriptor);
  // Linux frees the descriptor even if close reports a failure.
  return isOurs && fails("close") ? -1 : result;
}

void order(const char* text) {
  std::array<char, 16> word{};
  long at = 0;
  int number = 0;
  if (std::sscanf(text, "%15[^/]/%ld/%d", word.data(), &at, &number) != 3) return;
  const std::array<const char*, 4> names{"once", "ever", "short", "kill"};
  for (size_t i = 0; i < names.size(); i++)
    if (std::strcmp(word.data(), names[i]) == 0) action = static_cast<int>(i);
  error = number;
  calls = 0;
  hit = nullptr;
  failing = at;
}

}  // namespace

extern "C" {

int access(const char* path, int mode) {
  if (std::strncmp(path, kOrders, std::strlen(kOrders)) == 0) {
    order(path + std::strlen(kOrders));
    errno = ENOENT;
    return -1;
  }
  if (isBelow(path) && fails("access")) return -1;
  return REAL(access)(path, mode);
}

ssize_t readlink(const char* path, char* to, size_t size) {
  if (std::strncmp(path, kOrders, std::strlen(kOrders)) == 0) {
    const char* name = hit;
    const auto open = std::count(watched.begin(), watched.end(), true);
    return std::snprintf(to, size, "%ld %s %ld", calls.load(), name == nullptr ? "-" : name,
                         static_cast<long>(open));
  }
  if (isBelow(path) && fails("readlink")) return -1;
  return REAL(readlink)(path, to, size);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = va_arg(rest, mode_t);
  va_end(rest);
  if (!isBelow(path)) return REAL(open64)(path, flags, mode);
  return fails("open") ? -1 : watch(REAL(open64)(path, flags, mode));
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const auto mode = va_arg(rest, mode_t);
  va_end(rest);
  return open64(path, flags, mode);
}

int close(int descriptor) { return closeWith(descriptor, REAL(close)); }

ssize_t read(int descriptor, void* to, size_t size) {
  if (!isWatched(descriptor)) return REAL(read)(descriptor, to, size);
  return fails("read") ? -1 : REAL(read)(descriptor, to, cut(size));
}

ssize_t pread64(int descriptor, void* to, size_t size, off64_t offset) {
  if (!isWatched(descriptor)) return REAL(pread64)(descriptor, to, size, offset);
  return fails("pread") ? -1 : REAL(pread64)(descriptor, to, cut(size), offset);
}

ssize_t write(int descriptor, const void* from, size_t size) {
  if (!isWatched(descriptor)) return REAL(write)(descriptor, from, size);
  return fails("write") ? -1 : REAL(write)(descriptor, from, cut(size));
}

ssize_t pwrite64(int descriptor, const void* from, size_t size, off64_t offset) {
  if (!isWatched(descriptor)) return REAL(pwrite64)(descriptor, from, size, offset);
  return fails("pwrite") ? -1 : REAL(pwrite64)(descriptor, from, cut(size), offset);
}

#define DESCRIPTOR_CALL(result, name, parameters, ...)    \
  result name parameters {                                \
    if (isWatched(descriptor) && fails(#name)) return -1; \
    return REAL(name)(__VA_ARGS__);                       \
  }
DESCRIPTOR_CALL(ssize_t, readv, (int descriptor, const iovec* to, int count), descriptor, to, count)
DESCRIPTOR_CALL(ssize_t, writev, (int descriptor, const iovec* from, int count), descriptor, from,
                count)
DESCRIPTOR_CALL(ssize_t, preadv64, (int descriptor, const iovec* to, int count, off64_t at),
                descriptor, to, count, at)
DESCRIPTOR_CALL(ssize_t, pwritev64, (int descriptor, const iovec* from, int count, off64_t at),
                descriptor, from, count, at)
DESCRIPTOR_CALL(int, fsync, (int descriptor), descriptor)
DESCRIPTOR_CALL(int, fdatasync, (int descriptor), descriptor)
DESCRIPTOR_CALL(int, fchmod, (int descriptor, mode_t mode), descriptor, mode)
DESCRIPTOR_CALL(int, ftruncate64, (int descriptor, off64_t size), descriptor, size)
DESCRIPTOR_CALL(int, futimens, (int descriptor, const timespec* times), descriptor, times)

ssize_t sendfile64(int to, int from, off64_t* offset, size_t count) {
  if ((isWatched(to) || isWatched(from)) && fails("sendfile")) return -1;
  return REAL(sendfile64)(to, from, offset, count);
}

#define PATH_CALL(result, none, name, parameters, ...) \
  result name parameters {                             \
    if (isBelow(path) && fails(#name)) return none;    \
    return REAL(name)(__VA_ARGS__);                    \
  }
PATH_CALL(int, -1, chmod, (const char* path, mode_t mode), path, mode)
PATH_CALL(int, -1, mkdir, (const char* path, mode_t mode), path, mode)
PATH_CALL(int, -1, rename, (const char* path, const char* to), path, to)
PATH_CALL(int, -1, rmdir, (const char* path), path)
PATH_CALL(int, -1, unlink, (const char* path), path)
PATH_CALL(int, -1, link, (const char* path, const char* to), path, to)
PATH_CALL(char*, nullptr, realpath, (const char* path, char* to), path, to)
PATH_CALL(int, -1, utimensat, (int folder, const char* path, const timespec* times, int flags),
          folder, path, times, flags)
PATH_CALL(int, -1, scandir64,
          (const char* path, dirent64*** names, int (*filter)(const dirent64*),
           int (*compare)(const dirent64**, const dirent64**)),
          path, names, filter, compare)

/** libuv makes these calls by number: close(from), statx(folder, path, …), copy_file_range(from,
 * …). */
long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  std::array<long, 6> a{};
  for (long& argument : a) argument = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_close)
    return closeWith(static_cast<int>(a[0]),
                     [](int d) { return static_cast<int>(REAL(syscall)(SYS_close, d)); });
  if (number == SYS_statx) {
    const auto* path = reinterpret_cast<const char*>(a[1]);
    const bool isOfDescriptor = path != nullptr && *path == '\0';
    const bool isOurs = isOfDescriptor ? isWatched(static_cast<int>(a[0])) : isBelow(path);
    if (isOurs && fails("statx")) return -1;
  }
  if (number == SYS_copy_file_range && isWatched(static_cast<int>(a[0])) &&
      fails("copy_file_range"))
    return -1;
  return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
