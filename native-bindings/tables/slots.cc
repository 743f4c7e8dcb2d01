#include "tables/slots.h"

#include <bit>
#include <utility>

namespace headgate {

uint32_t Slots::take(uint8_t kind, uint32_t cluster, uint64_t order, const IndexEntry* entry, uint32_t near) {
  uint32_t word = word_for(kind, cluster, near);
  uint32_t bit = static_cast<uint32_t>(std::countr_one(used_[word]));
  // In the order of judging, if the word has room there: the lowest bit of a word is then its best.
  if (flags_[word] & kOrdered) {
    for (int b = 63; b >= 0; --b) {
      if (!(used_[word] >> b & 1)) continue;
      if (orders_[word << 6 | static_cast<uint32_t>(b)] > order) continue;
      if (b < 63 && !(used_[word] >> (b + 1) & 1)) bit = static_cast<uint32_t>(b) + 1;
      break;
    }
  }
  uint32_t slot = word << 6 | bit;
  orders_[slot] = order;
  entries_[slot] = entry;
  used_[word] |= uint64_t{1} << bit;
  ++used_count_;
  link(slot);
  note_order(word);
  return slot;
}

void Slots::free(uint32_t slot) {
  uint32_t word = slot >> 6;
  used_[word] &= ~(uint64_t{1} << (slot & 63));
  unlink(slot);
  entries_[slot] = nullptr;
  --used_count_;
  uint8_t kind = kind_of(slot);
  if (used_[word]) {
    note_order(word);
    if (std::popcount(used_[word]) == 63 || roomy_[kind].empty()) roomy_[kind].push_back(word);
    return;
  }
  std::erase(roomy_[kind], word);
  std::erase(open_words_, word);
  std::erase_if(clusters_, [&](const auto& c) { return c.second == word; });
  flags_[word] = 0;
  free_words_.push_back(word);
}

uint32_t Slots::word_for(uint8_t kind, uint32_t cluster, uint32_t near) {
  if (near != kNoSlot && kind_of(near) == kind && ~used_[near >> 6]) return near >> 6;
  uint64_t key = uint64_t{cluster} << 8 | kind;
  auto known = clusters_.find(key);
  if (known != clusters_.end() && (flags_[known->second] & (kKinds - 1)) == kind && ~used_[known->second])
    return known->second;
  auto& roomy = roomy_[kind];
  while (!roomy.empty()) {
    uint32_t word = roomy.back();
    if (std::popcount(used_[word]) < kBulkFill && (flags_[word] & (kKinds - 1)) == kind) {
      clusters_[key] = word;
      return word;
    }
    roomy.pop_back();
  }
  uint32_t word = add_word(kind);
  roomy.push_back(word);
  clusters_[key] = word;
  return word;
}

uint32_t Slots::add_word(uint8_t kind) {
  uint32_t word;
  if (free_words_.empty()) {
    word = words();
    used_.push_back(0);
    orders_.grow(used_.size() * 64);
    entries_.grow(used_.size() * 64);
    next_.grow(used_.size() * 64);
    flags_.grow(used_.size());
    lowest_.grow(used_.size());
  } else {
    word = free_words_.back();
    free_words_.pop_back();
  }
  flags_[word] = kind | kOrdered;
  if (!(kind & (kNamesSources | kNamesDestinations))) open_words_.push_back(word);
  return word;
}

void Slots::link(uint32_t slot) {
  if (used_count_ > buckets_.size()) {
    buckets_.assign(buckets_.size() * 2, kNoSlot);
    for (uint32_t other = 0; other < words() * 64; ++other)
      if (entries_[other] && other != slot) next_[other] = std::exchange(buckets_[bucket_of(entries_[other])], other);
  }
  next_[slot] = std::exchange(buckets_[bucket_of(entries_[slot])], slot);
}

void Slots::unlink(uint32_t slot) {
  uint32_t* at = &buckets_[bucket_of(entries_[slot])];
  while (*at != slot) at = &next_[*at];
  *at = next_[slot];
}

void Slots::note_order(uint32_t word) {
  uint64_t last = 0, lowest = UINT64_MAX;
  uint8_t ordered = kOrdered;
  for (uint64_t used = used_[word]; used; used &= used - 1) {
    uint64_t order = orders_[word << 6 | static_cast<uint32_t>(std::countr_zero(used))];
    if (order < last) ordered = 0;
    last = order;
    lowest = std::min(lowest, order);
  }
  lowest_[word] = static_cast<uint32_t>(lowest >> kOrderUnit);
  flags_[word] = static_cast<uint8_t>((flags_[word] & ~kOrdered) | ordered);
}

}  // namespace headgate
