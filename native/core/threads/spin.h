// A short wait without sleep. A sleeping thread takes tens of microseconds to wake, on a virtual
// machine a hundred.
#pragma once

#include <thread>

namespace vgg {

inline void pauseThread() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/** Checks the condition up to `times` times, a few nanoseconds apart. Returns whether it came true.
 * Yields the core now and then: if all cores spin, JavaScript's thread has no core. */
template <typename Condition>
bool spin(int times, const Condition& isDone) {
  constexpr int kYieldEvery = 64;
  for (int i = 1; i <= times; ++i) {
    if (isDone()) return true;
    pauseThread();
    if (i % kYieldEvery == 0) std::this_thread::yield();
  }
  return isDone();
}

}  // namespace vgg
