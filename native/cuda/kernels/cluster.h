// Clusters of blocks that read each other's shared memory, from compute capability 9.0 on, and
// shared memory whose size the launch sets. Each function has a plain C++ twin.
#pragma once

#include "ptx.h"

#ifdef __CUDACC_RTC__

// Returns the block's shared memory whose size the launch sets. It begins at a multiple of 1024
// bytes if the kernel declares no other shared memory.
__forceinline__ uint4* launchedShared() {
  extern __shared__ uint4 memory[];
  return memory;
}

__forceinline__ unsigned sharedAddress(const void* at) {
  unsigned address;
  asm("{ .reg .u64 shared; cvta.to.shared.u64 shared, %1; cvt.u32.u64 %0, shared; }"
      : "=r"(address)
      : "l"(at));
  return address;
}

// Waits for all threads of the cluster. What they wrote into shared memory is then visible to all.
__forceinline__ void synchronizeCluster() {
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
}
// Loads four numbers from the place of `at` in the block of that rank. Rank -1 is this block.
__forceinline__ void loadFrom(int rank, const float* at, float (&to)[4]) {
  unsigned there = sharedAddress(at);
  if (rank >= 0) {
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(there), "r"(rank));
  }
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(to[0]), "=f"(to[1]), "=f"(to[2]), "=f"(to[3])
               : "r"(there)
               : "memory");
}

#else

inline uint4* launchedShared() { return reinterpret_cast<uint4*>(emulate::launchedShared()); }
inline void synchronizeCluster() { emulate::synchronizeCluster(); }
inline void loadFrom(int rank, const float* at, float (&to)[4]) {
  const void* there = rank < 0 ? at : emulate::sharedOf(static_cast<unsigned>(rank), at);
  __builtin_memcpy(to, there, sizeof to);
}

#endif
