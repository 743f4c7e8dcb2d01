#include "tables/service_classes.h"

namespace headgate {
namespace {

using Range = KeyRange<uint32_t>;

// New specifications and slots beyond these: everything is made anew.
constexpr size_t kFewSpecs = 8;
constexpr size_t kFewSlots = 64;

bool has_ports(uint32_t domain) {
  return domain <= kSctpPorts;
}

void put(std::vector<Range>& keys, uint32_t domain, uint32_t first, uint32_t last) {
  keys.push_back({domain << 16 | first, domain << 16 | last});
}

// What the match takes of one domain, source ports left aside.
void add_domain(std::vector<Range>& keys, const ServiceMatch& s, uint32_t domain) {
  bool ports = !s.ports.empty() || !s.source_ports.empty(), types = s.icmp_type >= 0 || s.icmp_code >= 0;
  if (has_ports(domain) ? types : ports) return;
  if (!s.ports.empty()) {
    for (PortRange r : s.ports) put(keys, domain, r.first, r.last);
  } else if (!types) {
    put(keys, domain, 0, 65535);
  } else {
    for (uint32_t type = 0; type < 256; ++type) {
      if (s.icmp_type >= 0 && static_cast<uint32_t>(s.icmp_type) != type) continue;
      uint32_t code = s.icmp_code < 0 ? 0 : static_cast<uint32_t>(s.icmp_code);
      put(keys, domain, type << 8 | code, type << 8 | (s.icmp_code < 0 ? 255 : code));
    }
  }
}

void add_match(std::vector<Range>& keys, const ServiceMatch& s) {
  for (uint32_t domain = kTcpPorts; domain <= kIcmp6Types; ++domain)
    if (s.protocol < 0 || kServiceDomains[static_cast<size_t>(s.protocol)] == domain) add_domain(keys, s, domain);
  bool bare = s.ports.empty() && s.source_ports.empty() && s.icmp_type < 0 && s.icmp_code < 0;
  if (!bare) return;
  if (s.protocol < 0)
    put(keys, kProtocols, 0, 255);
  else if (kServiceDomains[static_cast<size_t>(s.protocol)] == kProtocols)
    put(keys, kProtocols, static_cast<uint32_t>(s.protocol), static_cast<uint32_t>(s.protocol));
}

std::vector<Range> merged(std::vector<Range> keys) {
  std::sort(keys.begin(), keys.end(), [](Range a, Range b) { return a.first < b.first; });
  std::vector<Range> out;
  for (Range r : keys) {
    if (!out.empty() && r.first <= out.back().last + 1)
      out.back().last = std::max(out.back().last, r.last);
    else
      out.push_back(r);
  }
  return out;
}

}  // namespace

std::vector<ServicePart> service_parts(const Rule& rule) {
  if (!rule.services) return {{{}, {}, true}};
  std::map<std::vector<std::pair<uint16_t, uint16_t>>, ServicePart> by_source;
  for (const ServiceMatch& s : *rule.services) {
    std::vector<std::pair<uint16_t, uint16_t>> source;
    for (PortRange r : s.source_ports) source.emplace_back(r.first, r.last);
    ServicePart& part = by_source[source];
    add_match(part.keys, s);
    if (part.source_keys.empty())
      for (PortRange r : s.source_ports) put(part.source_keys, kSourcePorts, r.first, r.last);
  }
  std::vector<ServicePart> parts;
  for (auto& [source, part] : by_source) {
    part.keys = merged(std::move(part.keys));
    part.source_keys = merged(std::move(part.source_keys));
    if (!part.keys.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

SpecId ServiceClasses::acquire(const std::vector<Range>& keys) {
  Keys key;
  for (Range r : keys) key.emplace_back(r.first, r.last);
  auto [known, fresh] = index_.try_emplace(std::move(key), 0);
  if (!fresh) {
    ++specs_[known->second].uses;
    return known->second;
  }
  SpecId id = static_cast<SpecId>(specs_.size());
  if (free_specs_.empty()) {
    specs_.emplace_back();
  } else {
    id = free_specs_.back();
    free_specs_.pop_back();
  }
  specs_[id] = {keys, {}, 1, false};
  known->second = id;
  new_specs_.push_back(id);
  return id;
}

void ServiceClasses::release(SpecId spec) {
  if (--specs_[spec].uses == 0) unused_.push_back(spec);
}

void ServiceClasses::add_slot(SpecId spec, uint32_t slot) {
  specs_[spec].slots.push_back(slot);
  new_slots_.emplace_back(spec, slot);
}

template <class Visit>
void ServiceClasses::each_class(SpecId spec, Visit visit) const {
  ClassId last = UINT32_MAX;
  for (Range r : specs_[spec].keys)
    for (size_t i = map_.run_of(r.first); i < map_.runs().size() && map_.runs()[i].first <= r.last; ++i) {
      if (map_.runs()[i].id != last) visit(map_.runs()[i].id);
      last = map_.runs()[i].id;
    }
}

void ServiceClasses::make_record(ClassId id) {
  for (SpecId spec : classes_.sets(id))
    for (uint32_t slot : specs_[spec].slots) gatherer_.add(slot);
  word_set::drop(arena_, records_[id]);
  set_record(id, word_set::make(arena_, gatherer_.take()));
}

// Of a class that has one specification more than another, or one less, which has no slots then.
void ServiceClasses::derive_record(ClassId id, ClassId from) {
  std::vector<SpecId> more;
  std::ranges::set_difference(classes_.sets(id), classes_.sets(from), std::back_inserter(more));
  for (SpecId spec : more)
    for (uint32_t slot : specs_[spec].slots) gatherer_.add(slot);
  set_record(id, word_set::make_with(arena_, records_[from], gatherer_.take()));
}

// Readers may follow it from here on.
void ServiceClasses::set_record(ClassId id, uint32_t record) {
  std::atomic_ref(records_[id]).store(record, std::memory_order_release);
}

// A specification whose last use went stays mapped until nothing of it is left to read: settle() takes it out.
void ServiceClasses::commit() {
  std::vector<SpecId> fresh;
  for (SpecId spec : std::exchange(new_specs_, {}))
    if (!specs_[spec].mapped && specs_[spec].uses) fresh.push_back(spec);
  for (SpecId spec : fresh) specs_[spec].mapped = true;
  if (fresh.size() > kFewSpecs) {
    std::vector<ClassMap<uint32_t>::Part> parts;
    for (SpecId spec = 1; spec < specs_.size(); ++spec)
      if (specs_[spec].mapped)
        for (Range r : specs_[spec].keys) parts.push_back({r, spec});
    map_.rebuild(parts);
    trie_.update(map_, {0, UINT32_MAX});
  } else {
    for (SpecId spec : fresh)
      for (Range r : specs_[spec].keys) map_.change(r, spec, true);
    for (SpecId spec : fresh)
      for (Range r : specs_[spec].keys) trie_.update(map_, r);
  }
  for (ClassId id : classes_.take_gone()) leaving_.push_back(id);
  records_.grow(classes_.size());
  auto made = classes_.take_made();
  auto slots = std::exchange(new_slots_, {});
  if (slots.size() > kFewSlots) {
    for (ClassId id = 0; id < classes_.size(); ++id)
      if (classes_.in_use(id)) make_record(id);
    return;
  }
  // In the order of making: where one is made of another, that one's record is there.
  for (auto [id, from] : made) from == Classes::kNone ? make_record(id) : derive_record(id, from);
  for (auto [spec, slot] : slots)
    each_class(spec, [&, slot = slot](ClassId id) { set_record(id, word_set::set_bit(arena_, records_[id], slot)); });
}

void ServiceClasses::remove_slot(SpecId spec, uint32_t slot) {
  auto& slots = specs_[spec].slots;
  auto place = std::find(slots.rbegin(), slots.rend(), slot);
  *place = slots.back();
  slots.pop_back();
  each_class(spec, [&](ClassId id) { set_record(id, word_set::clear_bit(arena_, records_[id], slot)); });
}

void ServiceClasses::settle() {
  for (ClassId id : leaving_) {
    word_set::drop(arena_, records_[id]);
    records_[id] = 0;
  }
  leaving_.clear();
  classes_.settle();
  for (SpecId spec : std::exchange(unused_, {})) {
    if (specs_[spec].uses || specs_[spec].keys.empty()) continue;
    if (specs_[spec].mapped) {
      for (Range r : specs_[spec].keys) map_.change(r, spec, false);
      for (Range r : specs_[spec].keys) trie_.update(map_, r);
    }
    Keys key;
    for (Range r : specs_[spec].keys) key.emplace_back(r.first, r.last);
    index_.erase(key);
    specs_[spec] = {};
    free_specs_.push_back(spec);
  }
}

size_t ServiceClasses::memory() const {
  size_t bytes = classes_.memory() + map_.memory() + records_.memory();
  for (const Spec& s : specs_) bytes += sizeof(Spec) + s.slots.capacity() * 4 + s.keys.capacity() * 8 * 2;
  return bytes;
}

}  // namespace headgate
