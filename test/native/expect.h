// Prints and counts conditions that do not hold in the native tests.
#pragma once

#include <cstdio>

inline int failures = 0;

#define EXPECT(condition)                                                \
  do {                                                                   \
    if (!(condition)) {                                                  \
      std::printf("not ok %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                        \
    }                                                                    \
  } while (false)
