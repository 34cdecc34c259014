// Copies between JavaScript's memory and native memory. The event loop waits for them.
#pragma once

#include <cstddef>

namespace vgg {

class ThreadPool;

/**
 * Like memcpy. Large copies bypass the caches and use several threads if the machine has enough
 * cores. The caller waits until everything is copied; the threads may access JavaScript's memory
 * because JavaScript cannot detach or resize it during the wait. Callable on any thread, also
 * concurrently.
 */
void copyBytes(std::byte* to, const std::byte* from, size_t bytes);

/** Does the same for any size on the threads of `pool`, which nobody else may use during the call.
 */
void copyOnThreads(ThreadPool& pool, std::byte* to, const std::byte* from, size_t bytes);

}  // namespace vgg
