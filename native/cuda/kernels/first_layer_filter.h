// The order in which the first layer's filter is packed, which is the order of its products. Needs
// ptx.h only.
#pragma once

#include "ptx.h"

/** Elements that a lane of a warp holds of a filter's row, or of a pixel's window. */
constexpr int kLaneElements = geometry::kFirstLayerRow / 4;

// Returns the place in the window of a lane's element, or -1 for a zero. The order of the 27
// products is free as long as both operands agree. In this order a lane's two-byte elements are
// pairs of neighbours in a row of the window. Such a row has 9 elements: 3 pixels with their
// channels side by side. The ninth elements of the three rows fill the rest.
template <typename T>
__forceinline__ int tapOf(int t, int element) {
  if (element < 6)
    return element / 2 * 9 + (sizeof(T) == 2 ? 2 * t + element % 2 : t + element % 2 * 4);
  return element == 6 && t < 3 ? t * 9 + 8 : -1;
}
