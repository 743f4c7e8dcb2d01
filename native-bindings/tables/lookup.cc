#include "tables/lookup.h"

namespace headgate {

// One walk: what is asked, and the best slot so far.
struct Lookup::Search {
  const Lookup& lookup;
  const uint64_t* live;
  WordSet::View index;
  WordSet::View service;
  const WordSet& source_port;
  uint64_t from;
  uint64_t best = UINT64_MAX;  // order
  uint32_t slot = UINT32_MAX;

  // Whether nothing whose orders are not below that bound can be better.
  bool beaten(uint32_t lowest) const { return lowest > best >> Slots::kOrderUnit; }

  // Slots of one word that match on both addresses.
  [[gnu::always_inline]] void consider(uint32_t word, uint64_t bits) {
    // Words behind the end hold only slots that came later.
    if (word >= lookup.live_words_) [[unlikely]]
      return;
    if (beaten(lookup.lowest_[word])) return;
    bits &= live[word] & index[word];
    if (!bits) return;
    bits &= service[word] | lookup.any_service_[word];
    uint8_t flags = lookup.flags_[word];
    if (flags & kNamesSourcePorts) bits &= source_port[word];
    if (bits) choose(word, bits, flags);
  }

  [[gnu::always_inline]] void choose(uint32_t word, uint64_t bits, uint8_t flags) {
    if (from == 0 && flags & kOrdered) bits &= ~bits + 1;
    do {
      uint32_t at = word << 6 | static_cast<uint32_t>(std::countr_zero(bits));
      uint64_t order = lookup.orders_[at];
      bool better = order < best && order >= from;
      best = better ? order : best;
      slot = better ? at : slot;
    } while (bits &= bits - 1);
  }

  [[gnu::always_inline]] void alone(const SideRecord& r) {
    const uint32_t n = r.alone();
    if (!n) return;
    const uint64_t* bits = r.bits();
    const uint32_t* indexes = r.indexes();
    for (uint32_t i = 0; i < n; ++i) consider(indexes[i], bits[i]);
  }

  [[gnu::always_inline]] void both(const SideRecord& a, const SideRecord& b) {
    uint32_t lists = a.lists & b.lists;
    if (!lists || beaten(std::max(a.lowest, b.lowest)) || !(a.signature & b.signature)) return;
    do {
      int list = 1 + std::countr_zero(lists);
      bool swap = a.ends[list] - a.ends[list - 1] > b.ends[list] - b.ends[list - 1];
      walk(swap ? b : a, swap ? a : b, list);
    } while (lists &= lists - 1);
  }

  // Looks the words of the shorter list up in the other.
  [[gnu::always_inline]] void walk(const SideRecord& shorter, const SideRecord& other, int list) {
    const uint32_t *indexes = shorter.indexes(), *theirs = other.indexes();
    const uint64_t *bits = shorter.bits(), *their_bits = other.bits();
    const uint64_t signature = other.signature;
    for (uint32_t i = shorter.ends[list - 1], end = shorter.ends[list]; i < end; ++i) {
      uint32_t word = indexes[i];
      if (!(signature >> (word & 63) & 1)) continue;
      uint64_t common = 0;
      if (other.ranked) {
        common = lookup.words(other.ranked)[word];
      } else {
        for (uint32_t j = other.ends[list - 1]; j < other.ends[list]; ++j)
          common = theirs[j] == word ? their_bits[j] : common;
      }
      if (common &= bits[i]) consider(word, common);
    }
  }
};

// The record of a class and those of its parts.
struct Lookup::Records {
  uint32_t count;
  const SideRecord* records[1 + ClassRecords::kMostParts];

  Records(const Lookup& lookup, SideOf side, ClassId id) {
    const SideRecord& own = lookup.record(lookup.class_records_[side][id]);
    records[0] = &own;
    count = 1 + own.parts;
    const uint32_t* parts = own.part_ids();
    const uint32_t* offsets = lookup.part_records_[side];
    for (uint32_t i = 1; i < count; ++i) records[i] = &lookup.record(offsets[parts[i - 1]]);
  }
  const SideRecord* operator[](uint32_t i) const { return records[i]; }
};

ClassId Lookup::class_of(const Address& address) const {
  if (is_ipv4(address)) return ClassTrie::find(arena_, ipv4_root_, ipv4_number(address));
  return ipv6_->find(__builtin_bswap64(address.half(0)), __builtin_bswap64(address.half(1)));
}

Lookup::Classes Lookup::classes_of(const FlowHeaders& flow) const {
  Classes classes;
  classes.source = class_of(flow.source);
  classes.destination = class_of(flow.destination);
  classes.service = ClassTrie::find(arena_, service_root_, service_key(flow));
  classes.source_port = source_ports_ ? ClassTrie::find(arena_, service_root_, source_port_key(flow)) : kEmptyClass;
  return classes;
}

const IndexEntry* Lookup::first_match(uint32_t workload, Direction direction, const FlowHeaders& flow,
                                      uint64_t from) const {
  if (workload >= indexes_->size()) return nullptr;
  return first_match(workload, direction, classes_of(flow), from);
}

void Lookup::classes_of(std::span<const FlowHeaders* const> flows, Classes* classes) const {
  uint32_t addresses[2 * kBatch], services[2 * kBatch];
  ClassId* address_ids[2 * kBatch];
  ClassId ids[2 * kBatch];
  size_t ipv4 = 0, n = flows.size();
  auto add = [&](const Address& address, ClassId& id) {
    if (!is_ipv4(address)) return void(id = class_of(address));
    addresses[ipv4] = ipv4_number(address);
    address_ids[ipv4++] = &id;
  };
  for (size_t i = 0; i < n; ++i) {
    add(flows[i]->source, classes[i].source);
    add(flows[i]->destination, classes[i].destination);
    services[i] = service_key(*flows[i]);
    services[n + i] = source_port_key(*flows[i]);
  }
  ClassTrie::find_all(arena_, ipv4_root_, {addresses, ipv4}, ids);
  for (size_t i = 0; i < ipv4; ++i) *address_ids[i] = ids[i];
  ClassTrie::find_all(arena_, service_root_, {services, source_ports_ ? 2 * n : n}, ids);
  for (size_t i = 0; i < n; ++i) classes[i].service = ids[i];
  for (size_t i = 0; i < n; ++i) classes[i].source_port = source_ports_ ? ids[n + i] : kEmptyClass;
}

// Each loop asks for what the next one reads.
void Lookup::prefetch_records(std::span<const Classes> classes) const {
  auto each_side = [&](auto visit) {
    for (const Classes& c : classes) visit(kSource, c.source), visit(kDestination, c.destination);
  };
  auto prefetch = [](const void* from, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const uint8_t*>(from) + at);
  };
  each_side([&](SideOf side, ClassId id) { prefetch(&class_records_[side][id], 4); });
  for (const Classes& c : classes) prefetch(&service_records_[c.service], 4);
  each_side([&](SideOf side, ClassId id) { prefetch(&record(class_records_[side][id]), 128); });
  for (const Classes& c : classes) prefetch(&words(service_records_[c.service]), 128);
  each_side([&](SideOf side, ClassId id) {
    const SideRecord& own = record(class_records_[side][id]);
    if (own.ranked) prefetch(&words(own.ranked), 128);
    for (uint32_t i = 0; i < own.parts; ++i) prefetch(&part_records_[side][own.part_ids()[i]], 4);
  });
  each_side([&](SideOf side, ClassId id) {
    const SideRecord& own = record(class_records_[side][id]);
    for (uint32_t i = 0; i < own.parts; ++i) prefetch(&record(part_records_[side][own.part_ids()[i]]), 64);
  });
}

void Lookup::first_matches(std::span<const Question> questions, const IndexEntry** answers) const {
  const FlowHeaders* flows[kBatch];
  size_t flow_of[kBatch], count = 0;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (i == 0 || questions[i].flow != questions[i - 1].flow) flows[count++] = questions[i].flow;
    flow_of[i] = count - 1;
  }
  Classes classes[kBatch];
  classes_of({flows, count}, classes);
  prefetch_records({classes, count});
  for (size_t i = 0; i < questions.size(); ++i) {
    const auto& [workload, direction, flow] = questions[i];
    answers[i] = workload < indexes_->size() ? first_match(workload, direction, classes[flow_of[i]], 0) : nullptr;
  }
}

const IndexEntry* Lookup::first_match(uint32_t workload, Direction direction, const Classes& classes,
                                      uint64_t from) const {
  Search search{*this,
                live_[static_cast<int>(direction)]->data(),
                WordSet::View(words((*indexes_)[workload])),
                WordSet::View(words(service_records_[classes.service])),
                words(service_records_[classes.source_port]),
                from};
  Records sources(*this, kSource, classes.source), destinations(*this, kDestination, classes.destination);
  // From the most to the least specific: what is found early spares looking at words that cannot be better.
  search.both(*sources[0], *destinations[0]);
  for (uint32_t i = 1; i < sources.count; ++i) search.both(*sources[i], *destinations[0]);
  for (uint32_t j = 1; j < destinations.count; ++j) search.both(*sources[0], *destinations[j]);
  for (uint32_t i = 0; i < sources.count; ++i) search.alone(*sources[i]);
  for (uint32_t j = 0; j < destinations.count; ++j) search.alone(*destinations[j]);
  for (uint32_t i = 1; i < sources.count; ++i) {
    if (search.beaten(sources[i]->lowest)) continue;
    for (uint32_t j = 1; j < destinations.count; ++j) search.both(*sources[i], *destinations[j]);
  }
  for (uint32_t word : *open_words_) search.consider(word, ~uint64_t{0});
  return search.slot == UINT32_MAX ? nullptr : entries_[search.slot];
}

}  // namespace headgate
