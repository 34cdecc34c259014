// Work whose result still lies in memory: autotuning runs the same operation a dozen times, and the
// fake's clock does not depend on doing the arithmetic again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace fake {

/** Bytes from begin to before end. */
struct Interval {
  const char* begin;
  const char* end;
  static Interval of(const void* pointer, size_t bytes) {
    return {static_cast<const char*>(pointer), static_cast<const char*>(pointer) + bytes};
  }
  bool overlaps(const Interval& other) const { return begin < other.end && other.begin < end; }
};

/** What was done, known by a hash of all that it depends on but for the bytes it reads. An entry
    goes when something else writes to what it read or wrote. */
class Memo {
 public:
  bool holds(uint64_t signature);
  /** To be called before the bytes are written. */
  void wrote(const std::vector<Interval>& writes);
  void keep(uint64_t signature, std::vector<Interval> reads, std::vector<Interval> writes);
  void clear();

 private:
  struct Entry {
    std::vector<Interval> reads, writes;
  };
  std::mutex mutex_;
  std::unordered_map<uint64_t, Entry> entries_;
};

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

}  // namespace fake
