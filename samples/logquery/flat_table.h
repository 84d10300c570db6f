#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace logquery {

// Open addressing with linear probing. Entries sit densely in insertion order, so that walking them is deterministic; the slots
// hold their numbers and a tag of the hash. Key equality is the caller's.
template <class Entry>
class FlatTable {
 public:
  FlatTable() { slots_.assign(kFirstSize, Slot{}); }

  // The entry that `matches`, or null.
  template <class Matches>
  Entry* find(uint64_t hash, Matches matches) {
    size_t mask = slots_.size() - 1;
    uint32_t tag = tag_of(hash);
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.entry == 0) return nullptr;
      if (slot.tag == tag && matches(entries_[slot.entry - 1])) return &entries_[slot.entry - 1];
    }
  }

  // Adds an entry known not to be there.
  Entry& insert(uint64_t hash, Entry entry) {
    if ((entries_.size() + 1) * 4 > slots_.size() * 3) grow();
    entries_.push_back(std::move(entry));
    hashes_.push_back(hash);
    place(hash, static_cast<uint32_t>(entries_.size()));
    return entries_.back();
  }

  template <class Matches, class Make>
  Entry& find_or_insert(uint64_t hash, Matches matches, Make make) {
    if (Entry* found = find(hash, matches)) return *found;
    return insert(hash, make());
  }

  std::vector<Entry>& entries() { return entries_; }
  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

 private:
  struct Slot {
    uint32_t entry = 0;  // number + 1; 0 is free
    uint32_t tag = 0;
  };
  static constexpr size_t kFirstSize = 16;

  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  void place(uint64_t hash, uint32_t entry) {
    size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at].entry != 0) at = (at + 1) & mask;
    slots_[at] = {entry, tag_of(hash)};
  }

  void grow() {
    slots_.assign(slots_.size() * 2, Slot{});
    for (size_t i = 0; i < entries_.size(); ++i) place(hashes_[i], static_cast<uint32_t>(i + 1));
  }

  std::vector<Slot> slots_;
  std::vector<Entry> entries_;
  std::vector<uint64_t> hashes_;
};

}  // namespace logquery
