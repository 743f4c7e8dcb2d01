#include "tables/class_records.h"

#include <map>

namespace headgate {

ClassRecords::Set& ClassRecords::set_of(SetId set) {
  if (set >= sets_.size()) sets_.resize(set + 1);
  return sets_[set];
}

void ClassRecords::add_slot(SetId set, SideOf side, uint32_t slot) {
  set_of(set).slots[side].push_back(slot);
}

void ClassRecords::remove_slot(SetId set, SideOf side, uint32_t slot) {
  set_of(set).slots[side].erase(slot);
}

void ClassRecords::classes_changed(const std::vector<Classes::Made>& made, const std::vector<ClassId>& gone) {
  for (auto [id, from] : made) {
    for (SetId set : classes_.sets(id)) {
      Set& s = set_of(set);
      if (++s.class_count > kNarrow && s.tier == Tier::kNarrow) widen(set);
      if (s.tier == Tier::kNarrow) s.in.push_back(id);
    }
    dirty_.push_back(id);
  }
  for (ClassId id : gone) {
    for (SetId set : classes_.sets(id)) {
      Set& s = set_of(set);
      --s.class_count;
      if (s.tier == Tier::kNarrow) s.in.erase(id);
      if (s.unused()) s.tier = Tier::kNarrow;
    }
    leaving_.push_back(id);
  }
}

void ClassRecords::widen(SetId set) {
  Set& s = sets_[set];
  s.tier = Tier::kMerged;
  dirty_.insert(dirty_.end(), s.in.begin(), s.in.end());
  s.in.clear();
}

// Every class that holds the set gets its parts anew. Rare: a set becomes loose once.
void ClassRecords::loosen(SetId set) {
  sets_[set].tier = Tier::kLoose;
  for (ClassId id = 0; id < classes_.size(); ++id)
    if (classes_.in_use(id) && std::binary_search(classes_.sets(id).begin(), classes_.sets(id).end(), set))
      dirty_.push_back(id);
}

void ClassRecords::note_parts() {
  for (auto [part, from] : parts_.take_made()) {
    dirty_parts_.push_back(part);
    for (SetId set : parts_.sets(part)) {
      sets_[set].in.push_back(part);
      if (sets_[set].tier == Tier::kMerged && sets_[set].in.size() > kMergeable) overmerged_.push_back(set);
    }
  }
  for (uint32_t part : parts_.take_gone()) {
    leaving_parts_.push_back(part);
    for (SetId set : parts_.sets(part)) {
      Set& s = sets_[set];
      s.in.erase(part);
      if (s.unused()) s.tier = Tier::kNarrow;
    }
  }
  for (auto& records : part_records_) records.grow(parts_.size());
}

// Parts for the class's wide sets; each is released once.
std::vector<uint32_t> ClassRecords::acquire_parts(ClassId id) {
  std::vector<SetId> merged;
  std::vector<uint32_t> parts;
  for (SetId set : classes_.sets(id)) {
    if (set_of(set).tier == Tier::kNarrow) continue;
    if (sets_[set].tier == Tier::kMerged || parts.size() + 1 >= kMostParts)
      merged.push_back(set);
    else
      parts.push_back(parts_.acquire({&set, 1}));
  }
  if (!merged.empty()) parts.push_back(parts_.acquire(merged));
  return parts;
}

// Those that its records name: both sides name the same.
std::vector<uint32_t> ClassRecords::parts_of(ClassId id) const {
  const SideRecord& record = *arena_.at<SideRecord>(class_records_[kSource][id]);
  return {record.part_ids(), record.part_ids() + record.parts};
}

void ClassRecords::build(bool all) {
  for (int side = 0; side < 2; ++side) class_records_[side].grow(classes_.size());
  if (all) {
    dirty_.clear();
    for (ClassId id = 0; id < classes_.size(); ++id)
      if (classes_.in_use(id)) dirty_.push_back(id);
  }
  std::map<ClassId, std::vector<uint32_t>> parts;  // of the classes to be made
  while (!dirty_.empty()) {
    for (ClassId id : std::exchange(dirty_, {})) {
      if (!classes_.in_use(id)) continue;
      auto [place, fresh] = parts.try_emplace(id);
      std::vector<uint32_t> before = std::exchange(place->second, acquire_parts(id));
      for (uint32_t part : before) parts_.release(part);
    }
    note_parts();
    for (SetId set : std::exchange(overmerged_, {}))
      if (sets_[set].tier == Tier::kMerged) loosen(set);
  }
  if (all) {
    dirty_parts_.clear();
    for (uint32_t part = 0; part < parts_.size(); ++part) dirty_parts_.push_back(part);
  }
  for (uint32_t part : std::exchange(dirty_parts_, {}))
    if (parts_.in_use(part))
      for (SideOf side : {kSource, kDestination}) replace(part_records_[side][part], make(parts_.sets(part), {}, side));
  for (const auto& [id, now] : parts) {
    for (uint32_t part : parts_of(id)) parts_.release(part);
    std::vector<SetId> narrow;
    for (SetId set : classes_.sets(id))
      if (sets_[set].tier == Tier::kNarrow) narrow.push_back(set);
    for (SideOf side : {kSource, kDestination}) replace(class_records_[side][id], make(narrow, now, side));
  }
  note_parts();
}

uint32_t ClassRecords::make(std::span<const SetId> sets, const std::vector<uint32_t>& parts, SideOf side) {
  for (SetId set : sets)
    for (uint32_t slot : sets_[set].slots[side]) gatherer_.add(slot);
  Lists lists;
  for (const SlotWord& word : gatherer_.take())
    lists[static_cast<size_t>(list_of(side, word.index << 6))].push_back(word);
  return make(lists, parts);
}

int ClassRecords::list_of(SideOf side, uint32_t slot) const {
  uint8_t kind = slots_.kind_of(slot);
  if (!(kind & (side == kSource ? kNamesDestinations : kNamesSources))) return 0;
  return 1 + (kind & kWideSource ? 1 : 0) + (kind & kWideDestination ? 2 : 0);
}

uint32_t ClassRecords::lowest_of(const SlotWord& word) const {
  uint64_t lowest = UINT64_MAX;
  for (uint64_t bits = word.bits; bits; bits &= bits - 1)
    lowest = std::min(lowest, slots_.orders()[word.index << 6 | static_cast<uint32_t>(std::countr_zero(bits))]);
  return static_cast<uint32_t>(std::min<uint64_t>(UINT32_MAX, lowest >> Slots::kOrderUnit));
}

uint32_t ClassRecords::make(const Lists& lists, const std::vector<uint32_t>& parts) {
  std::vector<SlotWord> both;
  SideRecord header{};
  size_t end = 0;
  for (int i = 0; i < kLists; ++i) {
    header.ends[i] = static_cast<uint16_t>(end += lists[static_cast<size_t>(i)].size());
    if (i > 0 && !lists[static_cast<size_t>(i)].empty()) header.lists |= static_cast<uint8_t>(1u << (i - 1));
    if (i > 0) both.insert(both.end(), lists[static_cast<size_t>(i)].begin(), lists[static_cast<size_t>(i)].end());
  }
  if (end == 0 && parts.empty()) return 0;
  header.lowest = UINT32_MAX;
  for (const SlotWord& word : both) {
    header.signature |= uint64_t{1} << (word.index & 63);
    header.lowest = std::min(header.lowest, lowest_of(word));
  }
  if (both.size() > kShort) {
    std::sort(both.begin(), both.end(), [](const SlotWord& a, const SlotWord& b) { return a.index < b.index; });
    header.ranked = word_set::make(arena_, both);
  }
  header.parts = static_cast<uint16_t>(parts.size());
  uint32_t offset = arena_.allocate(header.bytes());
  SideRecord& record = *arena_.at<SideRecord>(offset);
  record = header;
  auto* indexes = const_cast<uint32_t*>(record.indexes());
  size_t at = 0;
  for (const auto& list : lists)
    for (const SlotWord& word : list) {
      record.bits()[at] = word.bits;
      indexes[at++] = word.index;
    }
  std::copy(parts.begin(), parts.end(), const_cast<uint32_t*>(record.part_ids()));
  return offset;
}

void ClassRecords::drop(uint32_t record) {
  if (!record) return;
  const SideRecord& r = *arena_.at<SideRecord>(record);
  word_set::drop(arena_, r.ranked);
  arena_.retire(record, r.bytes());
}

void ClassRecords::replace(uint32_t& record, uint32_t now) {
  drop(record);
  std::atomic_ref(record).store(now, std::memory_order_release);
}

// Sets or clears one bit, in place where its word stays.
void ClassRecords::edit(uint32_t& offset, SideOf side, uint32_t slot, bool set) {
  SideRecord empty{};
  SideRecord& record = offset ? *arena_.at<SideRecord>(offset) : empty;
  const int mine = list_of(side, slot);
  const uint32_t word = slot >> 6;
  const uint64_t bit = uint64_t{1} << (slot & 63);
  const uint32_t* indexes = record.indexes();
  for (uint32_t i = mine ? record.ends[mine - 1] : 0; i < record.ends[mine]; ++i) {
    if (indexes[i] != word) continue;
    uint64_t& bits = record.bits()[i];
    if (!set && bits == bit) break;  // the word goes
    if (mine && record.ranked)
      set ? word_set::set_bit(arena_, record.ranked, slot) : word_set::clear_bit(arena_, record.ranked, slot);
    if (mine && set)
      std::atomic_ref(record.lowest).store(std::min(record.lowest, lowest_of({word, bit})), std::memory_order_relaxed);
    set ? set_bits(bits, bit) : clear_bits(bits, bit);
    return;
  }
  Lists lists;
  for (int list = 0, i = 0; list < kLists; ++list)
    for (; i < record.ends[list]; ++i) lists[static_cast<size_t>(list)].push_back({indexes[i], record.bits()[i]});
  auto& list = lists[static_cast<size_t>(mine)];
  auto place =
      std::lower_bound(list.begin(), list.end(), word, [](const SlotWord& w, uint32_t i) { return w.index < i; });
  if (set)
    list.insert(place, {word, bit});
  else if (place != list.end() && place->index == word)
    list.erase(place);
  else
    return;
  std::vector<uint32_t> parts(record.part_ids(), record.part_ids() + record.parts);
  replace(offset, make(lists, parts));
}

template <class Visit>
void ClassRecords::each_record(const std::vector<SetId>& sets, SideOf side, Visit visit) {
  for (SetId set : sets) {
    if (set >= sets_.size()) continue;
    if (sets_[set].tier == Tier::kNarrow) {
      for (ClassId id : sets_[set].in) visit(class_records_[side][id]);
      continue;
    }
    for (uint32_t part : sets_[set].in) visit(part_records_[side][part]);
  }
}

void ClassRecords::set_bit(const std::vector<SetId>& sets, SideOf side, uint32_t slot) {
  each_record(sets, side, [&](uint32_t& record) { edit(record, side, slot, true); });
}

void ClassRecords::clear_bit(const std::vector<SetId>& sets, SideOf side, uint32_t slot) {
  each_record(sets, side, [&](uint32_t& record) { edit(record, side, slot, false); });
}

void ClassRecords::settle() {
  for (ClassId id : leaving_) {
    if (id < class_records_[kSource].size())  // else it came and went within one commit
      for (uint32_t part : parts_of(id)) parts_.release(part);
    for (int side = 0; side < 2; ++side)
      if (id < class_records_[side].size()) replace(class_records_[side][id], 0);
  }
  leaving_.clear();
  note_parts();
  for (uint32_t part : std::exchange(leaving_parts_, {}))
    for (auto& records : part_records_) replace(records[part], 0);
  parts_.settle();
}

size_t ClassRecords::memory() const {
  size_t bytes = sets_.size() * sizeof(Set) + parts_.memory();
  for (const Set& s : sets_) bytes += s.slots[0].heap_bytes() + s.slots[1].heap_bytes() + s.in.heap_bytes();
  for (int side = 0; side < 2; ++side) bytes += class_records_[side].memory() + part_records_[side].memory();
  return bytes;
}

}  // namespace headgate
