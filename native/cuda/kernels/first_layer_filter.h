// The order in which the first layer's filter is packed: that of its products. Needs nothing but
// ptx.h.
#pragma once

#include "ptx.h"

/** What a lane of a warp holds of a filter's row, or of a pixel's window. */
constexpr int kLaneElements = geometry::kFirstLayerRow / 4;

// The order of the 27 products is free as long as both operands agree. Here a lane's elements lie
// such that two-byte ones are pairs of neighbours in a row of the window (9 elements: 3 pixels with
// their channels side by side); the ninth elements of the three rows fill the rest. Gives the place
// in the window, or -1 for a zero.
template <typename T>
__forceinline__ int tapOf(int t, int element) {
  if (element < 6)
    return element / 2 * 9 + (sizeof(T) == 2 ? 2 * t + element % 2 : t + element % 2 * 4);
  return element == 6 && t < 3 ? t * 9 + 8 : -1;
}
