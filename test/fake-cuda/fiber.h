// One stack for each thread of an emulated block, and the switch between stacks.
#pragma once

#include <cstddef>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulate {

/** A point to continue from: a stack with the registers saved on it. */
struct Context {
#if defined(__x86_64__)
  void* top = nullptr;
#else
  ucontext_t state;
#endif
  const void* stack = nullptr;  // lowest address, and size
  size_t bytes = 0;
};

#if defined(__x86_64__)
// Saves the registers that the System V calling convention preserves. It keeps the signal mask,
// for which swapcontext makes two system calls.
__attribute__((naked, noinline)) inline void swapStacks(void** /*save*/, void* /*next*/) {
  __asm__(
      "pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15;"
      "movq %rsp, (%rdi); movq %rsi, %rsp;"
      "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}
#endif

/** Continues at `to`. Returns when something switches back to `from`, or never if `last`. */
inline void switchContext(Context& from, Context& to, [[maybe_unused]] bool last = false) {
#if defined(__SANITIZE_ADDRESS__)
  void* fakeStack = nullptr;
  __sanitizer_start_switch_fiber(last ? nullptr : &fakeStack, to.stack, to.bytes);
#endif
#if defined(__x86_64__)
  swapStacks(&from.top, to.top);
#else
  swapcontext(&from.state, &to.state);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fakeStack, nullptr, nullptr);
#endif
}

/** A context that starts `entry`, which never returns, on its own stack. */
class Stack {
 public:
  static constexpr size_t kBytes = size_t{128} << 10;

  void start(Context& context, void (*entry)()) {
    if (!memory_) memory_.reset(new char[kBytes]);
    context.stack = memory_.get();
    context.bytes = kBytes;
#if defined(__SANITIZE_ADDRESS__)
    // A failed launch may have left frames behind.
    __asan_unpoison_memory_region(memory_.get(), kBytes);
#endif
#if defined(__x86_64__)
    // As after a call, the stack pointer is 8 off a multiple of 16 when `entry` begins.
    void** top = reinterpret_cast<void**>(memory_.get() + kBytes);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    context.top = top;
#else
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = memory_.get();
    context.state.uc_stack.ss_size = kBytes;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
#endif
  }

 private:
  std::unique_ptr<char[]> memory_;
};

}  // namespace emulate
