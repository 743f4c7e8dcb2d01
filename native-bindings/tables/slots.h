// The slots of the shared table: bits of all bitmaps, each standing for one index entry (or one part of it, where its
// services name several lists of source ports). Slots are not in the order of judging: `order` stands beside each, so
// putting a rule between two others moves nothing.
//
// A word of 64 slots holds slots of one kind only: whether their rules name sources, destinations, source ports, and
// whether those sources and destinations are wide. So a lookup knows from a word's place which of its sides have to be
// asked, and does not look through rules about narrow sets for those about wide ones. Bulk loads lay slots that name
// the same narrow set next to each other: what an address is in then fills few words.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tables/arena.h"
#include "tables/index_entry.h"

namespace headgate {

enum WordFlag : uint8_t {
  kNamesSources = 1,
  kNamesDestinations = 2,
  kNamesSourcePorts = 4,
  kWideSource = 8,  // sources in many classes (tables/class_records.h), as far as was known when the slot was taken
  kWideDestination = 16,
  kKinds = 32,
  kOrdered = 32,  // the slots in use are in the order of judging
};

class Slots {
 public:
  static constexpr size_t kMost = size_t{1} << 22;

  // A free slot of that kind, close to others with the same cluster; `near`: a slot in whose word it should be, or
  // kNoSlot.
  uint32_t take(uint8_t kind, uint32_t cluster, uint64_t order, const IndexEntry* entry, uint32_t near);
  void free(uint32_t slot);
  // visit(slot) for each slot of the entry; it may free that one.
  template <class Visit>
  void each_of(const IndexEntry* entry, Visit visit) const {
    for (uint32_t slot = buckets_[bucket_of(entry)], next; slot != kNoSlot; slot = next) {
      next = next_[slot];
      if (entries_[slot] == entry) visit(slot);
    }
  }
  bool has(const IndexEntry* entry) const {
    bool found = false;
    each_of(entry, [&](uint32_t) { found = true; });
    return found;
  }
  static constexpr uint32_t kNoSlot = UINT32_MAX;
  // Begins a word that the next slots of that kind are taken from: for bulk loads.
  void begin_word(uint8_t kind) { roomy_[kind].push_back(add_word(kind)); }
  // Slots that a bulk load puts into a word. A few stay free, so that an edited rule finds room near the one it
  // replaces.
  static constexpr int kBulkFill = 62;

  size_t used() const { return used_count_; }
  uint32_t words() const { return static_cast<uint32_t>(used_.size()); }
  const uint64_t* orders() const { return orders_.data(); }
  const IndexEntry* const* entries() const { return entries_.data(); }
  const uint8_t* flags() const { return flags_.data(); }
  // By word: a bound below which none of its slots' orders are, in units of kOrderUnit.
  const uint32_t* lowest() const { return lowest_.data(); }
  static constexpr unsigned kOrderUnit = 20;  // a power of two
  uint8_t kind_of(uint32_t slot) const { return flags_[slot >> 6] & (kKinds - 1); }
  // Words whose slots name neither sources nor destinations: every lookup looks at them.
  const std::vector<uint32_t>& open_words() const { return open_words_; }
  size_t memory() const {
    return orders_.memory() + entries_.memory() + flags_.memory() + lowest_.memory() + used_.capacity() * 8 +
           next_.memory() + buckets_.capacity() * 4;
  }

 private:
  uint32_t word_for(uint8_t kind, uint32_t cluster, uint32_t near);
  uint32_t add_word(uint8_t kind);
  void note_order(uint32_t word);
  void link(uint32_t slot);
  void unlink(uint32_t slot);
  size_t bucket_of(const IndexEntry* entry) const {
    return (reinterpret_cast<uintptr_t>(entry) * 0x9e3779b97f4a7c15ull) >> 40 & (buckets_.size() - 1);
  }

  Reserved<uint64_t> orders_{kMost};
  Reserved<const IndexEntry*> entries_{kMost};
  Reserved<uint8_t> flags_{kMost / 64};  // by word: kind and WordFlag::kOrdered
  Reserved<uint32_t> lowest_{kMost / 64};
  Reserved<uint32_t> next_{kMost};  // of the slots whose entries have the same bucket
  std::vector<uint32_t> buckets_ = std::vector<uint32_t>(64, kNoSlot);  // the first of each; a power of two of them
  std::vector<uint64_t> used_;                                          // by word
  std::array<std::vector<uint32_t>, kKinds> roomy_;                     // by kind: words that may have a free slot
  std::unordered_map<uint64_t, uint32_t> clusters_;  // kind and cluster: the word that took the last one
  std::vector<uint32_t> open_words_;
  std::vector<uint32_t> free_words_;
  size_t used_count_ = 0;
};

}  // namespace headgate
