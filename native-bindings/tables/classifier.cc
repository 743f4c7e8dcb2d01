#include "tables/classifier.h"

namespace headgate {
namespace {

// More new entries than this: slots are laid out together and records made anew.
constexpr size_t kFewEntries = 64;

using Sets = std::vector<SetId>;

Sets sets_of(const std::optional<std::vector<uint32_t>>& named) {
  Sets sets = named.value_or(Sets{});
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  return sets;
}

uint64_t bit_of(uint32_t slot) {
  return uint64_t{1} << (slot & 63);
}

}  // namespace

Classifier::Classifier() {
  commit();
  settled();
}

void Classifier::set_addresses(SetId set, const AddressSet& addresses) {
  addresses_.set(set, addresses);
}

void Classifier::drop_addresses(SetId set) {
  addresses_.set(set, AddressSet());
}

void Classifier::add(const IndexEntry* entry, std::span<const uint32_t> workloads) {
  pending_.push_back({entry, {workloads.begin(), workloads.end()}});
}

void Classifier::remove(const IndexEntry* entry) {
  if (slots_.has(entry))
    removed_.push_back(entry);
  else
    std::erase_if(pending_, [&](const Pending& p) { return p.entry == entry; });
}

void Classifier::join(uint32_t workload, std::span<const IndexEntry* const> entries) {
  memberships_.push_back({workload, {entries.begin(), entries.end()}, true});
}

void Classifier::leave(uint32_t workload, std::span<const IndexEntry* const> entries) {
  memberships_.push_back({workload, {entries.begin(), entries.end()}, false});
}

void Classifier::forget(uint32_t workload) {
  if (workload >= indexes_.size()) return;
  word_set::drop(arena_, indexes_[workload]);
  set_index(workload, 0);
}

std::vector<Classifier::Wanted> Classifier::wanted_slots() const {
  std::unordered_map<SetId, size_t> named[2];
  for (const Pending& p : pending_) {
    for (SetId set : sets_of(p.entry->rule->sources)) ++named[kSource][set];
    for (SetId set : sets_of(p.entry->rule->destinations)) ++named[kDestination][set];
  }
  auto rules_with = [&](SetId set, SideOf side) {
    auto found = named[side].find(set);
    return records_.slots_of(set, side) + (found == named[side].end() ? 0 : found->second);
  };
  std::vector<Wanted> wanted;
  for (const Pending& p : pending_) {
    const Rule& rule = *p.entry->rule;
    for (ServicePart& part : service_parts(rule)) {
      Wanted w{&p, std::move(part), 0, 0, 0};
      w.kind = static_cast<uint8_t>((rule.sources ? kNamesSources : 0) | (rule.destinations ? kNamesDestinations : 0) |
                                    (w.part.source_keys.empty() ? 0 : kNamesSourcePorts));
      auto wide = [&](SetId set) { return records_.is_wide(set); };
      Sets sources = sets_of(rule.sources), destinations = sets_of(rule.destinations);
      if (std::any_of(sources.begin(), sources.end(), wide)) w.kind |= kWideSource;
      if (std::any_of(destinations.begin(), destinations.end(), wide)) w.kind |= kWideDestination;
      SetId source = rule.sources && !rule.sources->empty() ? rule.sources->front() : 0;
      SetId destination = rule.destinations && !rule.destinations->empty() ? rule.destinations->front() : 0;
      bool by_source =
          !rule.destinations || (rule.sources && rules_with(source, kSource) <= rules_with(destination, kDestination));
      w.cluster = 2 * (by_source ? source : destination) + by_source;
      w.neighbour = by_source ? destination : source;
      wanted.push_back(std::move(w));
    }
  }
  return wanted;
}

// A slot of the entry that this one is an edit of: in the same word less memory is touched. Slots::kNoSlot if there is
// none.
uint32_t Classifier::slot_replaced_by(const IndexEntry* entry) const {
  uint32_t slot = Slots::kNoSlot;
  if (removed_.size() <= kFewEntries)
    for (const IndexEntry* removed : removed_)
      if (removed->serial == entry->serial) slots_.each_of(removed, [&](uint32_t s) { slot = s; });
  return slot;
}

void Classifier::take(const Wanted& wanted) {
  const IndexEntry* entry = wanted.pending->entry;
  uint32_t slot = slots_.take(wanted.kind, wanted.cluster, entry->order, entry, slot_replaced_by(entry));
  uses_.grow(size_t{slots_.words()} * 64);
  any_service_.grow(slots_.words());
  SlotUse use;
  if (wanted.part.any)
    set_bits(any_service_[slot >> 6], bit_of(slot));
  else
    services_.add_slot(use.service = services_.acquire(wanted.part.keys), slot);
  if (wanted.kind & kNamesSourcePorts) {
    services_.add_slot(use.source_ports = services_.acquire(wanted.part.source_keys), slot);
    ++source_port_slots_;
  }
  uses_[slot] = use;
  for (SetId set : sets_of(entry->rule->sources)) records_.add_slot(set, kSource, slot);
  for (SetId set : sets_of(entry->rule->destinations)) records_.add_slot(set, kDestination, slot);
}

// Neighbours share words, and within a word slots stand in the order of judging.
void Classifier::take_bulk(std::vector<Wanted> wanted) {
  auto place = [](const Wanted& w) { return std::tuple(w.kind, w.cluster, w.neighbour, w.pending->entry->order); };
  std::sort(wanted.begin(), wanted.end(), [&](const Wanted& a, const Wanted& b) { return place(a) < place(b); });
  for (size_t begin = 0; begin < wanted.size();) {
    size_t end = begin;
    while (end < wanted.size() && end - begin < Slots::kBulkFill && wanted[end].kind == wanted[begin].kind) ++end;
    std::sort(wanted.begin() + static_cast<std::ptrdiff_t>(begin), wanted.begin() + static_cast<std::ptrdiff_t>(end),
              [](const Wanted& a, const Wanted& b) { return a.pending->entry->order < b.pending->entry->order; });
    slots_.begin_word(wanted[begin].kind);
    uint32_t cluster = static_cast<uint32_t>(~begin);
    for (; begin < end; ++begin) {
      wanted[begin].cluster = cluster;
      take(wanted[begin]);
    }
  }
}

void Classifier::set_index(uint32_t workload, uint32_t index) {
  if (indexes_.size() <= workload) indexes_.resize(workload + 1);
  if (indexes_[workload] == index) return;
  indexes_[workload] = index;
  indexes_changed_ = true;
}

void Classifier::put_into_indexes(bool bulk) {
  for (const Pending& p : pending_)
    for (uint32_t workload : p.workloads)
      if (indexes_.size() <= workload) {
        indexes_.resize(workload + 1);
        indexes_changed_ = true;
      }
  if (!bulk) {
    for (const Pending& p : pending_)
      slots_.each_of(p.entry, [&](uint32_t slot) {
        for (size_t i = 0; i < p.workloads.size(); ++i) {
          // The index tables lie far apart.
          if (i + 8 < p.workloads.size()) __builtin_prefetch(arena_.at<WordSet>(indexes_[p.workloads[i + 8]]));
          uint32_t workload = p.workloads[i];
          if (uint64_t* word = word_set::find(arena_, indexes_[workload], slot >> 6))
            set_bits(*word, bit_of(slot));
          else
            set_index(workload, word_set::set_bit(arena_, indexes_[workload], slot));
        }
      });
    return;
  }
  std::vector<std::vector<uint32_t>> slots(indexes_.size());
  for (const Pending& p : pending_)
    slots_.each_of(p.entry, [&](uint32_t slot) {
      for (uint32_t workload : p.workloads) slots[workload].push_back(slot);
    });
  for (uint32_t workload = 0; workload < slots.size(); ++workload) {
    if (slots[workload].empty()) continue;
    set_index(workload, word_set::set_all(arena_, indexes_[workload], words_of(std::move(slots[workload])), true));
  }
}

// Entries that are in force: readers of the earlier Lookup keep the earlier index table.
void Classifier::change_index(const Membership& m) {
  std::vector<uint32_t> slots;
  for (const IndexEntry* entry : m.entries) slots_.each_of(entry, [&](uint32_t slot) { slots.push_back(slot); });
  if (slots.empty()) return;
  uint32_t index = m.workload < indexes_.size() ? indexes_[m.workload] : 0;
  set_index(m.workload, word_set::set_all(arena_, index, words_of(std::move(slots)), m.in));
}

void Classifier::set_live(const IndexEntry* entry, bool live) {
  slots_.each_of(entry, [&](uint32_t slot) {
    for (Direction direction : {Direction::kIn, Direction::kOut}) {
      uint64_t& word = live_[static_cast<int>(direction)][slot >> 6];
      bool runs = direction == Direction::kIn ? entry->in : entry->out;
      word = live && runs ? word | bit_of(slot) : word & ~bit_of(slot);
    }
  });
}

std::shared_ptr<const Lookup> Classifier::commit() {
  addresses_.commit();
  std::vector<ClassId> gone = addresses_.classes().take_gone();
  records_.classes_changed(addresses_.classes().take_made(), gone);
  std::vector<Wanted> wanted = wanted_slots();
  bool bulk = wanted.size() > kFewEntries;
  if (bulk)
    take_bulk(std::move(wanted));
  else
    for (const Wanted& w : wanted) take(w);
  services_.commit();
  records_.build(bulk);
  if (!bulk)
    for (const Pending& p : pending_)
      slots_.each_of(p.entry, [&](uint32_t slot) {
        records_.set_bit(sets_of(p.entry->rule->sources), kSource, slot);
        records_.set_bit(sets_of(p.entry->rule->destinations), kDestination, slot);
      });
  put_into_indexes(bulk);
  for (const Membership& m : memberships_) change_index(m);
  for (auto& live : live_) live.resize(slots_.words());
  for (const IndexEntry* entry : removed_) set_live(entry, false);
  for (const Pending& p : pending_) set_live(p.entry, true);
  leaving_.insert(leaving_.end(), removed_.begin(), removed_.end());
  removed_.clear();
  pending_.clear();
  memberships_.clear();
  return publish();
}

std::shared_ptr<const Lookup> Classifier::publish() {
  Lookup& l = current_;
  ++l.number_;
  l.arena_ = arena_.base();
  l.ipv4_root_ = addresses_.ipv4_root();
  l.ipv6_ = addresses_.ipv6();
  l.service_root_ = services_.root();
  l.service_records_ = services_.records();
  l.source_ports_ = source_port_slots_ > 0;
  for (SideOf side : {kSource, kDestination}) {
    l.class_records_[side] = records_.class_records(side);
    l.part_records_[side] = records_.part_records(side);
  }
  l.any_service_ = any_service_.data();
  l.flags_ = slots_.flags();
  l.lowest_ = slots_.lowest();
  l.orders_ = slots_.orders();
  l.entries_ = slots_.entries();
  l.live_words_ = static_cast<uint32_t>(live_[0].size());
  for (int direction = 0; direction < 2; ++direction)
    l.live_[direction] = std::make_shared<const std::vector<uint64_t>>(live_[direction]);
  if (!l.open_words_ || *l.open_words_ != slots_.open_words())
    l.open_words_ = std::make_shared<const std::vector<uint32_t>>(slots_.open_words());
  if (indexes_changed_) l.indexes_ = std::make_shared<const std::vector<uint32_t>>(indexes_);
  indexes_changed_ = false;
  return std::make_shared<const Lookup>(current_);
}

void Classifier::take_out(const IndexEntry* entry) {
  Sets sources = sets_of(entry->rule->sources), destinations = sets_of(entry->rule->destinations);
  slots_.each_of(entry, [&](uint32_t slot) {
    records_.clear_bit(sources, kSource, slot);
    records_.clear_bit(destinations, kDestination, slot);
    for (SetId set : sources) records_.remove_slot(set, kSource, slot);
    for (SetId set : destinations) records_.remove_slot(set, kDestination, slot);
    clear_bits(any_service_[slot >> 6], bit_of(slot));
    const SlotUse& use = uses_[slot];
    for (SpecId spec : {use.service, use.source_ports}) {
      if (spec == kAnyService) continue;
      services_.remove_slot(spec, slot);
      services_.release(spec);
    }
    source_port_slots_ -= use.source_ports != kAnyService;
    slots_.free(slot);
  });
}

void Classifier::take_out_of_indexes(std::vector<uint32_t> slots) {
  const bool few = slots.size() <= kFewEntries;
  const std::vector<SlotWord> words = few ? std::vector<SlotWord>() : words_of(slots);
  for (uint32_t workload = 0; workload < indexes_.size(); ++workload) {
    if (!few && indexes_[workload]) set_index(workload, word_set::set_all(arena_, indexes_[workload], words, false));
    if (!few) continue;
    if (workload + 8 < indexes_.size()) __builtin_prefetch(arena_.at<WordSet>(indexes_[workload + 8]));
    for (uint32_t slot : slots)
      if (word_set::find(arena_, indexes_[workload], slot >> 6))
        set_index(workload, word_set::clear_bit(arena_, indexes_[workload], slot));
  }
}

void Classifier::settled() {
  arena_.settle();
  records_.settle();
  addresses_.classes().settle();
  std::vector<uint32_t> slots;
  for (const IndexEntry* entry : leaving_) slots_.each_of(entry, [&](uint32_t slot) { slots.push_back(slot); });
  take_out_of_indexes(std::move(slots));
  for (const IndexEntry* entry : std::exchange(leaving_, {})) take_out(entry);
  services_.settle();
}

size_t Classifier::memory() const {
  return arena_.used() + slots_.memory() + addresses_.memory() + records_.memory() + services_.memory() +
         any_service_.memory() + uses_.memory() + indexes_.capacity() * 4 * 2 + live_[0].capacity() * 8 * 4;
}

}  // namespace headgate
