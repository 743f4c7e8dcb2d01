// The lookup of rules as a walk through every entry: the judge of tables/classifier.h, with the same interface as far
// as it changes answers.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "tables/index_entry.h"

namespace headgate::test {

class NaiveClassifier {
 public:
  void set_addresses(uint32_t set, const AddressSet& addresses) { sets_[set] = addresses; }
  void drop_addresses(uint32_t set) { sets_.erase(set); }
  void add(const IndexEntry* entry, const std::vector<uint32_t>& workloads) {
    members_[entry] = {workloads.begin(), workloads.end()};
  }
  void remove(const IndexEntry* entry) { members_.erase(entry); }
  void join(uint32_t workload, const std::vector<const IndexEntry*>& entries) {
    for (const IndexEntry* entry : entries) members_[entry].insert(workload);
  }
  void leave(uint32_t workload, const std::vector<const IndexEntry*>& entries) {
    for (const IndexEntry* entry : entries) members_[entry].erase(workload);
  }

  const IndexEntry* first_match(uint32_t workload, Direction direction, const FlowHeaders& flow, uint64_t from) const {
    const IndexEntry* best = nullptr;
    for (const auto& [entry, workloads] : members_)
      if (workloads.contains(workload) && entry->order >= from && (!best || entry->order < best->order) &&
          (direction == Direction::kIn ? entry->in : entry->out) && matches(*entry->rule, flow))
        best = entry;
    return best;
  }

 private:
  using Named = std::optional<std::vector<uint32_t>>;
  bool in_any(const Named& named, const Address& address) const {
    return !named || std::any_of(named->begin(), named->end(), [&](uint32_t set) {
      auto found = sets_.find(set);
      return found != sets_.end() && found->second.contains(address);
    });
  }
  static bool in_any(const std::vector<PortRange>& ranges, uint16_t port) {
    return ranges.empty() ||
           std::any_of(ranges.begin(), ranges.end(), [&](PortRange r) { return r.first <= port && port <= r.last; });
  }
  static bool matches(const ServiceMatch& s, const FlowHeaders& flow) {
    bool ports = flow.protocol == kTcp || flow.protocol == kUdp || flow.protocol == kSctp;
    bool types = flow.protocol == kIcmp || flow.protocol == kIcmp6;
    if (s.protocol >= 0 && s.protocol != flow.protocol) return false;
    if (!(s.ports.empty() && s.source_ports.empty()) && !ports) return false;
    if ((s.icmp_type >= 0 || s.icmp_code >= 0) && !types) return false;
    return in_any(s.ports, flow.destination_port) && in_any(s.source_ports, flow.source_port) &&
           (s.icmp_type < 0 || s.icmp_type == flow.icmp_type) && (s.icmp_code < 0 || s.icmp_code == flow.icmp_code);
  }
  bool matches(const Rule& rule, const FlowHeaders& flow) const {
    if (rule.services &&
        std::none_of(rule.services->begin(), rule.services->end(), [&](const auto& s) { return matches(s, flow); }))
      return false;
    return in_any(rule.sources, flow.source) && in_any(rule.destinations, flow.destination);
  }

  std::map<uint32_t, AddressSet> sets_;
  std::map<const IndexEntry*, std::set<uint32_t>> members_;
};

}  // namespace headgate::test
