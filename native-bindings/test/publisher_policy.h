// A small policy for the tests of the publisher, and how they see what has become of it.
#pragma once

#include <algorithm>
#include <sstream>

#include "tables/publisher.h"
#include "test/policy.h"

namespace headgate::test {

// Everything that the packet path could see, as text.
inline std::string contents(Publisher& publisher) {
  std::ostringstream out;
  const auto inventory = publisher.inventory();
  if (inventory.default_action) out << "default " << name_of(*inventory.default_action) << '\n';
  for (const auto* names : {&inventory.address_sets, &inventory.segments, &inventory.workloads, &inventory.scopes})
    for (const auto& [name, digest] : *names) out << name << ' ' << digest << '\n';
  auto rules = inventory.rules;
  std::sort(rules.begin(), rules.end());
  for (const auto& key : rules) out << key << '\n';
  for (const auto& [id, e] : inventory.entries)
    out << id << ' ' << e.digest << ' ' << e.category << ' ' << e.order << '\n';
  const auto generation = publisher.build();
  out << name_of(generation->default_action) << ' ' << generation->profiles[0].timeouts.tcp_opening << '\n';
  for (uint32_t i = 0; i < generation->workloads.size(); ++i) {
    const auto& w = generation->workloads[i];
    if (!w) continue;
    out << w->name << ' ' << w->serial << ' ' << generation->epochs[i] << ' ' << w->segment << ' ' << w->port
        << w->trunk << w->pinned_mac << w->any_address << ' ' << w->addresses.ranges().size();
    for (Direction d : {Direction::kIn, Direction::kOut})
      for (const char* from : {"10.0.0.1", "11.0.0.1", "fd00::1"}) {
        out << ' ' << name_of(d);
        FlowHeaders flow;
        flow.source = flow.destination = address_of(from);
        uint64_t after = 0;
        while (const IndexEntry* e = generation->lookup->first_match(i, d, flow, after)) {
          out << ' ' << e->id << '=' << e->serial << '@' << e->order << e->rule->key;
          after = e->order + 1;
        }
      }
    out << ' ' << generation->segments[w->segment]->macs->find(w->mac.data(), 0) << '\n';
  }
  for (const auto& s : generation->segments)
    if (s)
      out << s->name << ' ' << s->vlan[0] << ' ' << s->vlan[1] << ' ' << s->tracker << ' ' << s->members.size() << '\n';
  return out.str();
}

inline RuleChange rule_from(const std::string& key, const std::vector<std::string>& sources) {
  RuleChange change = rule(key, Action::kAllow);
  change.sources = sources;
  return change;
}

inline ServiceMatch from_port(uint16_t port) {
  ServiceMatch s;
  s.source_ports = {{port, port}};
  return s;
}

// Two segments, workloads a and b (lan, a with a MAC), c (dmz), sets s1 and s2, rules r1 (s1) and r2 (s2), scopes A (a)
// and AB (a, b), entry e1: r1 for A.
inline Delta base() {
  Delta d;
  d.default_action = Action::kDrop;
  d.set_segments = {{"lan", "1", 0, 0, "t1"}, {"dmz", "1", 10, 0, "t2"}};
  d.set_address_sets = {{"s1", "1", {"10.0.0.0/8"}}, {"s2", "1", {"fd00::/16"}}};
  d.set_rules = {rule_from("r1", {"s1"}), rule_from("r2", {"s2"})};
  d.set_workloads = {workload("a", kTestSource), workload("b"), workload("c", {}, {}, "dmz")};
  d.set_scopes = {{"A", "1", {"a"}}, {"AB", "1", {"a", "b"}}};
  d.set_entries = {entry("e1", "r1", 100, "A")};
  return d;
}

}  // namespace headgate::test
