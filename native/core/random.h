// Random numbers that are a pure function of (seed, stream, index), so any thread can generate any
// part.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vgg {

/**
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Turns the counter into four random words in place.
 */
void philox(uint32_t counter[4], uint32_t key0, uint32_t key1);

/**
 * Generates elements [first, first + count) of a sequence of normally distributed numbers, times
 * `scale`, with Box–Muller over Philox. Element i comes from counter (i / 4 low, i / 4 high,
 * stream, 0) with the key `seed`. The bits are the same on every machine.
 */
void fillNormal(float* to, size_t first, size_t count, uint64_t seed, uint32_t stream, float scale);

}  // namespace vgg
