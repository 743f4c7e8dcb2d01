#include "tables/classifier.h"

#include <algorithm>
#include <set>

namespace headgate {
namespace {

using Sets = std::vector<std::shared_ptr<const AddressSet>>;

bool in_any(const Sets& sets, const std::optional<std::vector<uint32_t>>& named, const Address& address) {
  return !named ||
         std::any_of(named->begin(), named->end(), [&](uint32_t set) { return sets[set]->contains(address); });
}

bool in_any(const std::vector<PortRange>& ranges, uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(), [&](PortRange r) { return r.first <= port && port <= r.last; });
}

bool has_ports(uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp;
}
bool has_icmp_type(uint8_t protocol) {
  return protocol == kIcmp || protocol == kIcmp6;
}

bool matches(const ServiceMatch& service, const FlowHeaders& flow) {
  if (service.protocol >= 0 && service.protocol != flow.protocol) return false;
  bool wants_ports = !service.ports.empty() || !service.source_ports.empty();
  if (wants_ports && !has_ports(flow.protocol)) return false;
  if (!service.ports.empty() && !in_any(service.ports, flow.destination_port)) return false;
  if (!service.source_ports.empty() && !in_any(service.source_ports, flow.source_port)) return false;
  bool wants_icmp = service.icmp_type >= 0 || service.icmp_code >= 0;
  if (wants_icmp && !has_icmp_type(flow.protocol)) return false;
  if (service.icmp_type >= 0 && service.icmp_type != flow.icmp_type) return false;
  return service.icmp_code < 0 || service.icmp_code == flow.icmp_code;
}

bool matches(const Sets& sets, const Rule& rule, const FlowHeaders& flow) {
  if (rule.services &&
      std::none_of(rule.services->begin(), rule.services->end(), [&](const auto& s) { return matches(s, flow); }))
    return false;
  return in_any(sets, rule.sources, flow.source) && in_any(sets, rule.destinations, flow.destination);
}

bool before(const IndexEntry* entry, uint64_t order) {
  return entry->order < order;
}

}  // namespace

const IndexEntry* Lookup::first_match(uint32_t workload, Direction direction, const FlowHeaders& flow,
                                      uint64_t from) const {
  if (workload >= tables_.size() || !tables_[workload]) return nullptr;
  const Entries& entries = *tables_[workload];
  for (auto at = std::lower_bound(entries.begin(), entries.end(), from, before); at != entries.end(); ++at)
    if ((direction == Direction::kIn ? (*at)->in : (*at)->out) && matches(sets_, *(*at)->rule, flow)) return *at;
  return nullptr;
}

void Classifier::set_addresses(uint32_t set, const AddressSet& addresses) {
  if (set >= next_.sets_.size()) next_.sets_.resize(set + 1);
  next_.sets_[set] = std::make_shared<AddressSet>(addresses);
}

void Classifier::drop_addresses(uint32_t set) {
  next_.sets_[set] = nullptr;
}

// The workload's table, to be changed: its own unless it is changed already.
Lookup::Entries& Classifier::table(uint32_t workload) {
  if (workload >= next_.tables_.size()) next_.tables_.resize(workload + 1);
  auto& shared = next_.tables_[workload];
  if (!shared || shared.use_count() > 1)
    shared = shared ? std::make_shared<Lookup::Entries>(*shared) : std::make_shared<Lookup::Entries>();
  return const_cast<Lookup::Entries&>(*shared);
}

void Classifier::add(const IndexEntry* entry, std::span<const uint32_t> workloads) {
  slots_ += slots_of(*entry->rule);
  for (uint32_t workload : workloads) join(workload, {&entry, 1});
}

void Classifier::remove(const IndexEntry* entry) {
  slots_ -= slots_of(*entry->rule);
  for (uint32_t i = 0; i < next_.tables_.size(); ++i) leave(i, {&entry, 1});
}

void Classifier::join(uint32_t workload, std::span<const IndexEntry* const> entries) {
  Lookup::Entries& all = table(workload);
  for (const IndexEntry* entry : entries)
    all.insert(std::lower_bound(all.begin(), all.end(), entry->order, before), entry);
}

void Classifier::leave(uint32_t workload, std::span<const IndexEntry* const> entries) {
  for (const IndexEntry* entry : entries) {
    if (workload >= next_.tables_.size() || !next_.tables_[workload]) return;
    const Lookup::Entries& held = *next_.tables_[workload];
    auto at = std::lower_bound(held.begin(), held.end(), entry->order, before);
    if (at == held.end() || *at != entry) continue;
    auto place = at - held.begin();
    Lookup::Entries& all = table(workload);
    all.erase(all.begin() + place);
  }
}

void Classifier::set_own(uint32_t, const AddressSet*) {}

void Classifier::forget(uint32_t workload) {
  if (workload < next_.tables_.size()) next_.tables_[workload] = nullptr;
}

std::shared_ptr<const Lookup> Classifier::commit() {
  return std::make_shared<Lookup>(next_);
}

// One, or one for each different list of source ports among its services.
size_t Classifier::slots_of(const Rule& rule) {
  std::set<std::vector<std::pair<uint16_t, uint16_t>>> lists;
  if (rule.services)
    for (const ServiceMatch& service : *rule.services) {
      std::vector<std::pair<uint16_t, uint16_t>> ports;
      for (PortRange r : service.source_ports) ports.emplace_back(r.first, r.last);
      lists.insert(std::move(ports));
    }
  return std::max<size_t>(1, lists.size());
}

}  // namespace headgate
