// Panel products: the loop where nearly all of the time is spent.
#include "cpu/kernels/finish.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

constexpr ptrdiff_t kAhead = 4096;  // prefetch distance in B, in bytes
constexpr ptrdiff_t kAskRows = 8;   // rows of B between two prefetches of `next`

/** Bytes of a row of B. */
template <typename Element>
constexpr ptrdiff_t kRowBytes = kPanelWidth * static_cast<ptrdiff_t>(sizeof(Element));

/** The stride of contiguous rows of B, as a compile-time constant. */
struct Packed {
  constexpr operator ptrdiff_t() const { return kPanelWidth; }
};
/** The stride of rows of B that lie in longer rows. */
struct Apart {
  ptrdiff_t floats;
  ptrdiff_t nextBytes;  // bytes between the prefetches of consecutive rows
  constexpr operator ptrdiff_t() const { return floats; }
};
template <typename Stride>
constexpr bool kIsPacked = false;
template <>
constexpr bool kIsPacked<Packed> = true;

/** Each sum runs in the order of A's columns, for any number of rows. The number of rows of a
 * product may depend on the number of threads; the bits of its sums must not. */
template <int Rows>
using Sums = Vector[Rows][2];

/** The memory to prefetch during a product. */
struct Ahead {
  const char* next;
  ptrdiff_t bytes;  // bytes to prefetch for each row of B

  /** Prefetches into the L2 cache. The L1 cache is too small for a panel, and its pending misses
   * would delay the rows that are being multiplied. */
  [[gnu::always_inline]] inline void ask(ptrdiff_t rows) {
    const char* end = next + rows * bytes;
#pragma GCC unroll 1
    for (; next < end; next += kLine) __builtin_prefetch(next, 0, kSecondCache);
  }
  [[gnu::always_inline]] inline void askForRow(ptrdiff_t stride) {
    __builtin_prefetch(next, 0, kSecondCache);
    if (bytes > kLine) __builtin_prefetch(next + kLine, 0, kSecondCache);
    next += stride;
  }
};

/** sums += column at `a` of A (Rows) · row at `b` of B (panelWidth). */
template <int Rows, typename Element>
[[gnu::always_inline]] inline void addRow(Sums<Rows>& sums, const float* a, ptrdiff_t aRowStride,
                                          const Element* b) {
  const Vector b0 = load(b);
  const Vector b1 = load(b + kLanes);
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) {
    const float x = a[row * aRowStride];
    sums[row][0] += x * b0;
    sums[row][1] += x * b1;
    hold(sums[row][0], sums[row][1]);
  }
}

/** sums += A (Rows × length) · B (length × panelWidth, rows `stride` apart). A separate function,
 * because GCC 12 does not unroll the same loop inside another one. */
template <int Rows, typename Element, typename Stride>
[[gnu::always_inline]] inline void addRows(Sums<Rows>& sums, const float* a, ptrdiff_t aRowStride,
                                           ptrdiff_t length, const Element* b, Stride stride) {
  asm("" : "+r"(b));  // keeps the trip count constant if the length is constant: no remainder loop
#pragma GCC unroll 4
  for (ptrdiff_t k = 0; k < length; ++k) addRow<Rows>(sums, a + k, aRowStride, b + k * stride);
}

/** Does the same and prefetches `ahead` during the product. Returns the end of B. */
template <int Rows, typename Element, typename Stride>
[[gnu::always_inline]] inline const Element* add(Sums<Rows>& sums, const float* a,
                                                 ptrdiff_t aRowStride, ptrdiff_t length,
                                                 const Element* b, Stride stride, Ahead& ahead) {
  if constexpr (!kIsPacked<Stride>) {
    // B is far away, so spread the prefetches as evenly as possible.
    for (ptrdiff_t k = 0; k < length; ++k) {
      addRow<Rows>(sums, a + k, aRowStride, b + k * stride);
      ahead.askForRow(stride.nextBytes);
    }
    return b + length * stride;
  }
  // Keep everything except the products rare: another thread of the same core may take half of the
  // issue slots.
  for (; length >= kAskRows; length -= kAskRows) {
    ahead.ask(kAskRows);
    addRows<Rows>(sums, a, aRowStride, kAskRows, b, stride);
    a += kAskRows;
    b += kAskRows * stride;
  }
  if (length == 0) return b;
  ahead.ask(length);
  addRows<Rows>(sums, a, aRowStride, length, b, stride);
  return b + length * stride;
}

/** Returns whether each element of C is a single sum that is stored unchanged. */
inline bool isPlain(const PanelProduct& product) {
  return product.segments == 1 && product.depth <= kMaxSum && product.columns == kPanelWidth &&
         product.bRowStride == kPanelWidth && product.bias == nullptr && !product.accumulate &&
         !product.relu;
}

/** Computes rows of a plain product. These are short, so every instruction around the sums counts:
 * all arguments fit into registers. Clang copies an argument on the stack with one wide load, which
 * waits for the two narrow stores before it. */
template <int Rows, typename Element>
void multiplyPlainRows(const PanelProduct& product, const float* a, const Element* b, float* c,
                       Ahead ahead) {
  const ptrdiff_t cRowStride = product.cRowStride;
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) __builtin_prefetch(c + row * cRowStride, 1);
  Sums<Rows> sums = {};
  add<Rows>(sums, a, product.aRowStride, product.depth, b, Packed{}, ahead);
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) {
    store(c + row * cRowStride, sums[row][0]);
    store(c + row * cRowStride + kLanes, sums[row][1]);
  }
}

/** Computes rows of the product, from `a` to `c`. */
template <int Rows, typename Element, typename Stride>
void multiplyRows(const PanelProduct& product, const float* a, const Element* b, Stride stride,
                  float* c, Ahead ahead) {
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) __builtin_prefetch(c + row * product.cRowStride, 1);
  if (product.segments * product.depth <= kMaxSum) {
    Sums<Rows> sums = {};
    for (int segment = 0; segment < product.segments; ++segment) {
      b = add<Rows>(sums, a + segment * product.aSegmentStride, product.aRowStride, product.depth,
                    b, stride, ahead);
    }
    finish<Rows>(product, c, sums);
    return;
  }
  Vector total[Rows][2] = {};
  for (int segment = 0; segment < product.segments; ++segment) {
    const float* from = a + segment * product.aSegmentStride;
    for (ptrdiff_t done = 0; done < product.depth; done += kMaxSum) {
      const ptrdiff_t length = product.depth - done < kMaxSum ? product.depth - done : kMaxSum;
      Sums<Rows> sums = {};
      b = add<Rows>(sums, from + done, product.aRowStride, length, b, stride, ahead);
#pragma GCC unroll 16
      for (int row = 0; row < Rows; ++row) {
        total[row][0] += sums[row][0];
        total[row][1] += sums[row][1];
      }
    }
  }
  finish<Rows>(product, c, total);
}

template <int Rows, typename Element>
[[gnu::always_inline]] inline void multiplyUpTo(ptrdiff_t rows, bool plain,
                                                const PanelProduct& product, const float* a,
                                                const Element* b, float* c, Ahead ahead) {
  if constexpr (Rows > 0) {
    if (rows != Rows) return multiplyUpTo<Rows - 1>(rows, plain, product, a, b, c, ahead);
    if (plain) return multiplyPlainRows<Rows>(product, a, b, c, ahead);
    if (product.bRowStride == kPanelWidth)
      return multiplyRows<Rows>(product, a, b, Packed{}, c, ahead);
    const Apart stride{product.bRowStride,
                       product.nextStride > 0 ? product.nextStride : ahead.bytes};
    multiplyRows<Rows>(product, a, b, stride, c, ahead);
  }
}

/** Computes all rows in even parts: 14 rows, at most 6 at a time, are 5 + 5 + 4, not 6 + 6 + 2. The
 * prefetched memory has elements of type `Kept`. */
template <typename Kept, typename Element>
void multiplyAll(const PanelProduct& product, const Element* b) {
  const bool plain = isPlain(product);
  if (product.rows <= kMaxRows) {
    const char* next = product.next != nullptr ? static_cast<const char*>(product.next)
                                               : reinterpret_cast<const char*>(b) + kAhead;
    multiplyUpTo<kMaxRows>(product.rows, plain, product, product.a, b, product.c,
                           {next, kRowBytes<Kept>});
    return;
  }
  const ptrdiff_t parts = (product.rows + kMaxRows - 1) / kMaxRows;
  const ptrdiff_t rows = product.rows / parts;
  const ptrdiff_t longer = product.rows % parts;  // the number of parts with one more row
  // Each part prefetches its share; the data is not needed before the last part has ended.
  const ptrdiff_t bytes = (kRowBytes<Kept> + parts - 1) / parts;
  const ptrdiff_t share = product.nextStride > 0 ? bytes : product.segments * product.depth * bytes;
  const char* next = product.next != nullptr ? static_cast<const char*>(product.next)
                                             : reinterpret_cast<const char*>(b);
  const float* a = product.a;
  float* c = product.c;
  for (ptrdiff_t part = 0; part < parts; ++part) {
    const ptrdiff_t count = part < longer ? rows + 1 : rows;
    multiplyUpTo<kMaxRows>(count, plain, product, a, b, c, {next, bytes});
    a += count * product.aRowStride;
    c += count * product.cRowStride;
    next += share;
  }
}

#ifdef VGG_HALVES
void multiplyHalves(const PanelProduct& product) {
  // Each part of the rows would convert B again, which takes time from the multipliers with 64-byte
  // vectors. For many parts, converting once is better.
  constexpr ptrdiff_t kMaxRowsInPlace = ptrdiff_t{2} * kMaxRows;
  const ptrdiff_t count = product.segments * product.depth * kPanelWidth;
  const bool isPacked = product.bRowStride == kPanelWidth;
  if (kLanes < 16 || product.rows <= kMaxRowsInPlace || count > kMaxSum * kPanelWidth || !isPacked)
    return multiplyAll<uint16_t>(product, product.halfB);
  alignas(kLine) float b[kMaxSum * kPanelWidth];
  for (ptrdiff_t i = 0; i < count; i += kLanes) store(b + i, load(product.halfB + i));
  multiplyAll<uint16_t>(product, b);
}
#endif

}  // namespace

void multiply(const PanelProduct& product) {
#ifdef VGG_HALVES
  if (product.halfB != nullptr) return multiplyHalves(product);
#endif
  multiplyAll<float>(product, product.b);
}

}  // namespace vgg::cpu::VGG_KERNELS
