// Starts threads. If the system cannot start another, the error names the limit.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"

namespace vgg {

/** Returns Error kOutOfMemory with the limit that prevents another thread. */
Error threadRefusal();

/** Makes the stacks of later threads large enough for every step of a device. */
void prepareThreadStacks();

/** Starts a thread that runs `body`, which must not throw. Throws Error kOutOfMemory. */
template <typename Body>
std::thread startThread(Body&& body) {
  prepareThreadStacks();
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error&) {
    throw threadRefusal();
  }
}

}  // namespace vgg
