// The entries of Memo.
#include "memo.h"

namespace fake {
namespace {

bool anyOverlap(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  for (const Interval& one : a)
    for (const Interval& other : b)
      if (one.overlaps(other)) return true;
  return false;
}

}  // namespace

bool Memo::holds(uint64_t signature) {
  const std::lock_guard lock(mutex_);
  return entries_.contains(signature);
}

void Memo::wrote(const std::vector<Interval>& writes) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& entry) {
    return anyOverlap(entry.second.reads, writes) || anyOverlap(entry.second.writes, writes);
  });
}

void Memo::keep(uint64_t signature, std::vector<Interval> reads, std::vector<Interval> writes) {
  if (anyOverlap(reads, writes)) return;  // doing it twice is not doing it once
  const std::lock_guard lock(mutex_);
  entries_.insert_or_assign(signature, Entry{std::move(reads), std::move(writes)});
}

void Memo::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace fake
