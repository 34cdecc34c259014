// operator new and delete of the addon alone. A linked-in C++ library has them as weak symbols for
// the whole process, and not every linker can hide them. Their names are given as symbols, because
// the headers declare the functions themselves as visible.
#include <cstddef>
#include <cstdlib>
#include <new>

#define VGG_SYMBOL(name) __asm__("_" name) __attribute__((visibility("hidden"), used))

namespace {

constexpr size_t kDefaultAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

void* tryAllocate(size_t bytes, size_t alignment) noexcept {
  if (alignment <= kDefaultAlignment) return std::malloc(bytes == 0 ? 1 : bytes);
  void* data = nullptr;
  return posix_memalign(&data, alignment, bytes == 0 ? 1 : bytes) == 0 ? data : nullptr;
}

void* allocate(size_t bytes, size_t alignment = kDefaultAlignment) {
  void* data = tryAllocate(bytes, alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

// m is size_t, a after Zn or Zd an array.
extern "C" {
using Nothrow = const std::nothrow_t*;

void* vggNew(size_t bytes) VGG_SYMBOL("_Znwm");
void* vggNewArray(size_t bytes) VGG_SYMBOL("_Znam");
void* vggNewAligned(size_t bytes, size_t alignment) VGG_SYMBOL("_ZnwmSt11align_val_t");
void* vggNewArrayAligned(size_t bytes, size_t alignment) VGG_SYMBOL("_ZnamSt11align_val_t");
void* vggTryNew(size_t bytes, Nothrow) noexcept VGG_SYMBOL("_ZnwmRKSt9nothrow_t");
void* vggTryNewArray(size_t bytes, Nothrow) noexcept VGG_SYMBOL("_ZnamRKSt9nothrow_t");
void* vggTryNewAligned(size_t bytes, size_t alignment, Nothrow) noexcept
    VGG_SYMBOL("_ZnwmSt11align_val_tRKSt9nothrow_t");
void* vggTryNewArrayAligned(size_t bytes, size_t alignment, Nothrow) noexcept
    VGG_SYMBOL("_ZnamSt11align_val_tRKSt9nothrow_t");

void* vggNew(size_t bytes) { return allocate(bytes); }
void* vggNewArray(size_t bytes) { return allocate(bytes); }
void* vggNewAligned(size_t bytes, size_t alignment) { return allocate(bytes, alignment); }
void* vggNewArrayAligned(size_t bytes, size_t alignment) { return allocate(bytes, alignment); }
void* vggTryNew(size_t bytes, Nothrow) noexcept { return tryAllocate(bytes, kDefaultAlignment); }
void* vggTryNewArray(size_t bytes, Nothrow) noexcept {
  return tryAllocate(bytes, kDefaultAlignment);
}
void* vggTryNewAligned(size_t bytes, size_t alignment, Nothrow) noexcept {
  return tryAllocate(bytes, alignment);
}
void* vggTryNewArrayAligned(size_t bytes, size_t alignment, Nothrow) noexcept {
  return tryAllocate(bytes, alignment);
}

// All deletes free. What follows the pointer, a size, an alignment or nothrow, is not needed.
#define VGG_DELETE(function, symbol)                     \
  void function(void* data) noexcept VGG_SYMBOL(symbol); \
  void function(void* data) noexcept { std::free(data); }
VGG_DELETE(vggDelete, "_ZdlPv")
VGG_DELETE(vggDeleteArray, "_ZdaPv")
VGG_DELETE(vggDeleteSized, "_ZdlPvm")
VGG_DELETE(vggDeleteArraySized, "_ZdaPvm")
VGG_DELETE(vggDeleteAligned, "_ZdlPvSt11align_val_t")
VGG_DELETE(vggDeleteArrayAligned, "_ZdaPvSt11align_val_t")
VGG_DELETE(vggDeleteSizedAligned, "_ZdlPvmSt11align_val_t")
VGG_DELETE(vggDeleteArraySizedAligned, "_ZdaPvmSt11align_val_t")
VGG_DELETE(vggDeleteNothrow, "_ZdlPvRKSt9nothrow_t")
VGG_DELETE(vggDeleteArrayNothrow, "_ZdaPvRKSt9nothrow_t")
VGG_DELETE(vggDeleteAlignedNothrow, "_ZdlPvSt11align_val_tRKSt9nothrow_t")
VGG_DELETE(vggDeleteArrayAlignedNothrow, "_ZdaPvSt11align_val_tRKSt9nothrow_t")
#undef VGG_DELETE
}
