// Memo of work whose result is known. Autotuning runs the same operations a dozen times with
// engines that differ only in time, and the fake's clock does not depend on repeating the
// arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace fake {

/** The bytes from begin up to end, without end. */
struct Interval {
  const char* begin;
  const char* end;
  static Interval of(const void* pointer, size_t bytes) {
    return {static_cast<const char*>(pointer), static_cast<const char*>(pointer) + bytes};
  }
  [[nodiscard]] bool contains(const Interval& other) const {
    return begin <= other.begin && other.end <= end;
  }
};

/** Identifies work: a hash of all that it depends on except the bytes that it reads. */
class Signature {
 public:
  template <class T>
  Signature& add(const T& value) {
    return add(&value, sizeof value);
  }
  Signature& add(const void* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
      hash_ = (hash_ ^ static_cast<const unsigned char*>(bytes)[i]) * 1099511628211ULL;
    return *this;
  }
  [[nodiscard]] uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 14695981039346656037ULL;
};

/** The contents of each byte, as a number for the work that wrote it. Equal numbers mean equal
 * bytes. */
class Contents {
 public:
  void set(const Interval& where, uint64_t number);
  /** A hash of the numbers in an interval and of their ranges. */
  [[nodiscard]] uint64_t of(const Interval& where) const;
  void clear() { pieces_.clear(); }

 private:
  struct Piece {
    const char* end;
    uint64_t number;
  };
  std::map<const char*, Piece> pieces_;  // by their first byte, without overlaps
};

class Memo {
 public:
  /** Whether the bytes that the work would write are in place: because nothing has touched them
   * since, or because they were restored from a copy. */
  bool redo(uint64_t signature);
  /** Records that the work has been done. `isWhole`: it wrote every byte of `writes`. */
  void did(uint64_t signature, std::vector<Interval> reads, std::vector<Interval> writes,
           bool isWhole);
  /** Records writes by work that will not be recognised again. */
  void wrote(const std::vector<Interval>& writes);
  void clear();

 private:
  struct Entry {
    std::vector<Interval> reads, writes;
    uint64_t before;  // of the bytes read
    std::vector<uint64_t> after;
    std::vector<std::vector<char>> copies;  // of the bytes written, from the second time on
  };
  [[nodiscard]] uint64_t contentsOf(const std::vector<Interval>& intervals) const;
  void keepCopies(Entry& entry);

  std::mutex mutex_;
  Contents contents_;
  std::unordered_map<uint64_t, Entry> entries_;
  size_t copiedBytes_ = 0;
  uint64_t unknown_ = 0;  // the last number given to bytes of unknown work
};

/** Overwrites a workspace as an engine does, so that nobody relies on its contents. */
void spoil(Memo& memo, void* workspace, size_t bytes);

}  // namespace fake
