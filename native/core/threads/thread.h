// Threads, and the error that names the limit if the system starts no more of them.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"

namespace vgg {

/** Why no thread can be started: the limit that is reached, as Error kOutOfMemory. */
Error threadRefusal();

/** A thread that runs `body`, which must not throw. Throws Error kOutOfMemory. */
template <typename Body>
std::thread startThread(Body&& body) {
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error&) {
    throw threadRefusal();
  }
}

}  // namespace vgg
