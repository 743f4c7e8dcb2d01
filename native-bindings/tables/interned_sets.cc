#include "tables/interned_sets.h"

namespace headgate {

InternedSets::InternedSets() : buckets_(16, kNone) {
  entries_.grow(1);
  entries_[kEmpty].uses = 1;
  link(kEmpty);
}

InternedSets::Id InternedSets::acquire(std::span<const uint32_t> sets, Id from) {
  for (Id id = bucket_of(sets); id != kNone; id = entries_[id].next)
    if (std::ranges::equal(this->sets(id), sets)) {
      ++entries_[id].uses;
      return id;
    }
  Id id = static_cast<Id>(entries_.size());
  if (free_.empty()) {
    entries_.grow(id + 1);
    if (entries_.size() > buckets_.size()) grow();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  entries_[id] = {contents_.allocate(sets.size_bytes()), static_cast<uint32_t>(sets.size()), 1, kNone};
  std::ranges::copy(sets, contents_.at<uint32_t>(entries_[id].contents));
  link(id);
  made_.push_back({id, from});
  return id;
}

std::vector<InternedSets::Id> InternedSets::take_gone() {
  std::vector<Id> gone;
  for (Id id : std::exchange(unused_, {}))
    if (!entries_[id].uses && unlink(id)) gone.push_back(id);
  leaving_.insert(leaving_.end(), gone.begin(), gone.end());
  return gone;
}

void InternedSets::settle() {
  for (Id id : leaving_) contents_.retire(entries_[id].contents, sets(id).size_bytes());
  contents_.settle();
  free_.insert(free_.end(), leaving_.begin(), leaving_.end());
  leaving_.clear();
}

InternedSets::Id& InternedSets::bucket_of(std::span<const uint32_t> sets) {
  uint64_t hash = sets.size();
  for (uint32_t set : sets) {
    hash = (hash ^ set) * 0xd6e8feb86659fd93ull;
    hash ^= hash >> 32;
  }
  return buckets_[hash & (buckets_.size() - 1)];
}

void InternedSets::link(Id id) {
  Id& first = bucket_of(sets(id));
  entries_[id].next = std::exchange(first, id);
}

// False where it went already.
bool InternedSets::unlink(Id id) {
  for (Id* at = &bucket_of(sets(id)); *at != kNone; at = &entries_[*at].next)
    if (*at == id) {
      *at = entries_[id].next;
      return true;
    }
  return false;
}

void InternedSets::grow() {
  std::vector<Id> linked;
  for (Id first : buckets_)
    for (Id id = first; id != kNone; id = entries_[id].next) linked.push_back(id);
  buckets_.assign(buckets_.size() * 2, kNone);
  for (Id id : linked) link(id);
}

}  // namespace headgate
