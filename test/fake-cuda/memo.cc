// The entries of Memo.
#include "memo.h"

#include <algorithm>
#include <cstring>

namespace fake {
namespace {

constexpr size_t kMaxCopiedBytes = size_t{256} << 20;

char* bytesOf(const Interval& interval) { return const_cast<char*>(interval.begin); }

size_t sizeOf(const Interval& interval) {
  return static_cast<size_t>(interval.end - interval.begin);
}

}  // namespace

void Contents::set(const Interval& where, uint64_t number) {
  if (where.begin == where.end) return;
  auto piece = pieces_.lower_bound(where.begin);
  if (piece != pieces_.begin()) {
    auto& [end, before] = std::prev(piece)->second;
    if (end > where.end) pieces_.emplace(where.end, Piece{end, before});
    end = std::min(end, where.begin);
  }
  while (piece != pieces_.end() && piece->first < where.end) {
    const auto [end, after] = piece->second;
    piece = pieces_.erase(piece);
    if (end > where.end) pieces_.emplace(where.end, Piece{end, after});
  }
  pieces_.insert_or_assign(where.begin, Piece{where.end, number});
}

uint64_t Contents::of(const Interval& where) const {
  Signature hash;
  auto piece = pieces_.upper_bound(where.begin);
  if (piece != pieces_.begin()) --piece;
  for (; piece != pieces_.end() && piece->first < where.end; ++piece) {
    const char* begin = std::max(piece->first, where.begin);
    const char* end = std::min(piece->second.end, where.end);
    if (begin < end) hash.add(begin).add(end).add(piece->second.number);
  }
  return hash.value();
}

uint64_t Memo::contentsOf(const std::vector<Interval>& intervals) const {
  Signature hash;
  for (const Interval& interval : intervals) hash.add(contents_.of(interval));
  return hash.value();
}

bool Memo::redo(uint64_t signature) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(signature);
  if (found == entries_.end()) return false;
  const Entry& entry = found->second;
  bool isThere = true;
  for (size_t i = 0; i < entry.writes.size(); ++i)
    isThere = isThere && contents_.of(entry.writes[i]) == entry.after[i];
  // If the work reads what it writes, those bytes now differ from the ones that it read.
  const bool isRead = contentsOf(entry.reads) == entry.before;
  if (isThere && isRead) return true;
  if (!isRead || entry.copies.empty()) return false;
  const uint64_t number = Signature().add(signature).add(entry.before).value();
  for (size_t i = 0; i < entry.writes.size(); ++i) {
    std::memcpy(bytesOf(entry.writes[i]), entry.copies[i].data(), entry.copies[i].size());
    contents_.set(entry.writes[i], number);
  }
  return true;
}

void Memo::did(uint64_t signature, std::vector<Interval> reads, std::vector<Interval> writes,
               bool isWhole) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[signature];
  const uint64_t before = contentsOf(reads);
  const bool isAgain = !entry.after.empty() && entry.before == before;
  for (const auto& copy : entry.copies) copiedBytes_ -= copy.size();
  entry = {std::move(reads), std::move(writes), before, {}, {}};
  const uint64_t number = Signature().add(signature).add(before).value();
  for (const Interval& write : entry.writes) contents_.set(write, number);
  for (const Interval& write : entry.writes) entry.after.push_back(contents_.of(write));
  // Bytes between the written ones may differ next time, unless the work reads them too.
  const auto isRead = [&](const Interval& write) {
    return std::any_of(entry.reads.begin(), entry.reads.end(),
                       [&](const Interval& read) { return read.contains(write); });
  };
  if (isAgain && (isWhole || std::all_of(entry.writes.begin(), entry.writes.end(), isRead)))
    keepCopies(entry);
}

void Memo::keepCopies(Entry& entry) {
  size_t bytes = 0;
  for (const Interval& write : entry.writes) bytes += sizeOf(write);
  if (bytes > kMaxCopiedBytes) return;
  if (copiedBytes_ + bytes > kMaxCopiedBytes) {
    for (auto& [_, other] : entries_) other.copies.clear();
    copiedBytes_ = 0;
  }
  for (const Interval& write : entry.writes) entry.copies.emplace_back(write.begin, write.end);
  copiedBytes_ += bytes;
}

void Memo::wrote(const std::vector<Interval>& writes) {
  const std::lock_guard lock(mutex_);
  for (const Interval& write : writes) contents_.set(write, ++unknown_);
}

void Memo::clear() {
  const std::lock_guard lock(mutex_);
  contents_.clear();
  entries_.clear();
  copiedBytes_ = 0;
}

void spoil(Memo& memo, void* workspace, size_t bytes) {
  const uint64_t signature = Signature().add(workspace).add(bytes).value();
  if (memo.redo(signature)) return;
  std::memset(workspace, 0xFF, bytes);
  memo.did(signature, {}, {Interval::of(workspace, bytes)}, true);
}

}  // namespace fake
