// Copies between JavaScript's memory and ours, which the event loop waits for.
#pragma once

#include <cstddef>

namespace vgg {

class ThreadPool;

/**
 * memcpy; what is large goes past the caches, on several threads where the machine has cores for
 * it. The caller waits until all is copied: what JavaScript cannot detach or resize while it waits,
 * the threads may read and write. On any thread, several at once.
 */
void copyBytes(std::byte* to, const std::byte* from, size_t bytes);

/** The same, however little, on the threads of a pool that nobody else uses meanwhile. */
void copyOnThreads(ThreadPool& pool, std::byte* to, const std::byte* from, size_t bytes);

}  // namespace vgg
