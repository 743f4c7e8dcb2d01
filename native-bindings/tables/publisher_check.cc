// The gate for what control sends. After check() nothing in a delta can fail: every name that is referred to exists,
// every text parses, every number is in range, and nothing that stays refers to what is removed.
#include <algorithm>

#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

constexpr size_t kMostTrackers = 65535;
constexpr size_t kMostPinnedMacs = MacTable::kSlots / 2;  // of a segment: the table stays half empty

std::string quoted(const std::string& name) {
  return "'" + name.substr(0, 80) + "'";
}

Refusal invalid(std::string message) {
  return {"invalid-delta", std::move(message)};
}

// Names that occur twice in one list would make the outcome depend on the order.
template <class List, class Name>
Refusal unique(const List& list, const char* what, Name name_of_item) {
  std::unordered_set<std::string> seen;
  for (const auto& item : list) {
    const std::string& name = name_of_item(item);
    if (name.empty()) return invalid(std::string(what) + " without a name.");
    if (!seen.insert(name).second)
      return invalid(std::string(what) + " " + quoted(name) + " is named twice in one change.");
  }
  return {};
}

Refusal check_ranges(const std::vector<std::string>& ranges, const std::string& where) {
  for (const std::string& text : ranges)
    if (!parse_address_range(text)) return invalid(where + ": " + quoted(text) + " is no address, prefix or range.");
  return {};
}

bool ports_ok(const std::vector<PortRange>& ranges) {
  return std::all_of(ranges.begin(), ranges.end(), [](PortRange r) { return r.first <= r.last; });
}

std::unordered_set<std::string> to_set(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

}  // namespace

Refusal Publisher::check(const Delta& delta) const {
  for (auto part : {&Publisher::check_sets, &Publisher::check_rules, &Publisher::check_segments,
                    &Publisher::check_workloads, &Publisher::check_indexes, &Publisher::check_removals})
    if (Refusal refusal = (this->*part)(delta)) return refusal;
  return {};
}

Refusal Publisher::check_sets(const Delta& delta) const {
  if (Refusal r = unique(
          delta.set_address_sets, "Address set", [](const auto& s) -> const auto& { return s.name; }))
    return r;
  for (const AddressSetChange& set : delta.set_address_sets)
    if (Refusal r = check_ranges(set.ranges, "Address set " + quoted(set.name))) return r;
  return {};
}

Refusal Publisher::check_rules(const Delta& delta) const {
  if (Refusal r = unique(
          delta.set_rules, "Rule", [](const auto& s) -> const auto& { return s.key; }))
    return r;
  std::unordered_set<std::string> coming;
  for (const AddressSetChange& set : delta.set_address_sets) coming.insert(set.name);
  for (const RuleChange& rule : delta.set_rules) {
    for (const auto* names : {&rule.sources, &rule.destinations}) {
      if (!*names) continue;
      for (const std::string& name : **names)
        if (!sets_.contains(name) && !coming.contains(name))
          return invalid("Rule " + quoted(rule.key) + " refers to address set " + quoted(name) +
                         ", which does not exist.");
    }
    if (rule.services)
      for (const ServiceMatch& s : *rule.services)
        if (s.protocol > 255 || s.icmp_type > 255 || s.icmp_code > 255 || !ports_ok(s.ports) ||
            !ports_ok(s.source_ports))
          return invalid("Rule " + quoted(rule.key) +
                         " has a service with a number out of range or a reversed port range.");
  }
  return {};
}

Refusal Publisher::check_segments(const Delta& delta) const {
  if (Refusal r = unique(
          delta.set_segments, "Segment", [](const auto& s) -> const auto& { return s.name; }))
    return r;
  for (const SegmentChange& segment : delta.set_segments) {
    auto bad = [](int vlan) { return vlan < 0 || vlan > 4094; };
    if (bad(segment.vlan) || bad(segment.inner_vlan) || (segment.inner_vlan && !segment.vlan))
      return invalid("Segment " + quoted(segment.name) +
                     " has a VLAN out of range, or an inner VLAN without an outer one.");
    if (segment.tracker.empty()) return invalid("Segment " + quoted(segment.name) + " names no tracker.");
  }
  if (trackers_.size() + delta.set_segments.size() > kMostTrackers) return {"table-full", "No room for more trackers."};
  return {};
}

Refusal Publisher::check_workloads(const Delta& delta) const {
  if (Refusal r = unique(
          delta.set_workloads, "Workload", [](const auto& w) -> const auto& { return w.name; }))
    return r;
  std::unordered_set<std::string> coming_segments, coming_workloads, removed = to_set(delta.remove_workloads);
  for (const SegmentChange& segment : delta.set_segments) coming_segments.insert(segment.name);
  for (const WorkloadChange& w : delta.set_workloads) coming_workloads.insert(w.name);
  std::set<std::pair<std::string, Mac>> macs;
  for (const auto& w : workloads_)
    if (w && w->pinned_mac && !coming_workloads.contains(w->name) && !removed.contains(w->name))
      macs.emplace(segments_[w->segment]->name, w->mac);
  std::unordered_map<std::string, size_t> pinned;
  for (const auto& [segment, mac] : macs) ++pinned[segment];
  size_t fresh = 0;
  for (const WorkloadChange& w : delta.set_workloads) {
    std::string where = "Workload " + quoted(w.name);
    fresh += !workload_places_.contains(w.name);
    if (!segment_places_.contains(w.segment) && !coming_segments.contains(w.segment))
      return invalid(where + " is in segment " + quoted(w.segment) + ", which does not exist.");
    if (auto known = find_workload(w.name);
        known && (*known)->port != kNoPort &&
        ((*known)->trunk != w.trunk || segments_[(*known)->segment]->name != w.segment))
      return {"attached", where + " is attached: detach it before it moves to another segment or kind of port."};
    if (w.mac) {
      auto mac = parse_mac(*w.mac);
      if (!mac) return invalid(where + ": " + quoted(*w.mac) + " is no unicast MAC in lower case.");
      if (!macs.emplace(w.segment, *mac).second)
        return invalid(where + ": another workload of segment " + quoted(w.segment) + " has MAC " + *w.mac + ".");
      if (++pinned[w.segment] > kMostPinnedMacs)
        return {"table-full", where + ": segment " + quoted(w.segment) + " holds " + std::to_string(kMostPinnedMacs) +
                                  " workloads with a MAC already. Divide it."};
    }
    if (w.addresses)
      if (Refusal r = check_ranges(*w.addresses, where)) return r;
  }
  if (workload_places_.size() + fresh > MacTable::kMostWorkload)
    return {"table-full", "More than 32,766 workloads on one host: remove " +
                              std::to_string(workload_places_.size() + fresh - MacTable::kMostWorkload) + " of them."};
  return {};
}

Refusal Publisher::check_indexes(const Delta& delta) const {
  if (Refusal r = unique(
          delta.set_indexes, "Index of workload", [](const auto& i) -> const auto& { return i.workload; }))
    return r;
  std::unordered_set<std::string> coming_rules, coming_workloads;
  for (const RuleChange& rule : delta.set_rules) coming_rules.insert(rule.key);
  for (const WorkloadChange& w : delta.set_workloads) coming_workloads.insert(w.name);
  for (const IndexChange& index : delta.set_indexes) {
    if (!workload_places_.contains(index.workload) && !coming_workloads.contains(index.workload))
      return invalid("Index for workload " + quoted(index.workload) + ", which does not exist.");
    for (const IndexChangeTable* table : {&index.in, &index.out}) {
      if (table->size() != kCategories)
        return invalid("Index of workload " + quoted(index.workload) + " has not four categories.");
      for (const auto& category : *table)
        for (const std::string& key : category)
          if (!rules_.contains(key) && !coming_rules.contains(key))
            return invalid("Index of workload " + quoted(index.workload) + " refers to rule " + quoted(key) +
                           ", which does not exist.");
    }
  }
  return {};
}

// Removals come last, so what remains after everything was set must not refer to what goes.
Refusal Publisher::check_removals(const Delta& delta) const {
  auto sets = to_set(delta.remove_address_sets), rules = to_set(delta.remove_rules);
  auto segments = to_set(delta.remove_segments), workloads = to_set(delta.remove_workloads);
  if (sets.size() != delta.remove_address_sets.size() || rules.size() != delta.remove_rules.size() ||
      segments.size() != delta.remove_segments.size() || workloads.size() != delta.remove_workloads.size())
    return invalid("Something is removed twice in one change.");
  auto refuse = [](const char* what, const std::string& name, const char* why) {
    return invalid(std::string(what) + " " + quoted(name) + " cannot be removed: " + why);
  };
  std::unordered_set<std::string> set_rules, set_workloads, set_indexes;
  for (const auto& r : delta.set_rules) set_rules.insert(r.key);
  for (const auto& w : delta.set_workloads) set_workloads.insert(w.name);
  for (const auto& i : delta.set_indexes) set_indexes.insert(i.workload);
  for (const auto& s : delta.set_address_sets)
    if (sets.contains(s.name)) return refuse("Address set", s.name, "the same change sets it.");
  for (const auto& s : delta.set_segments)
    if (segments.contains(s.name)) return refuse("Segment", s.name, "the same change sets it.");
  for (const auto& n : delta.remove_address_sets)
    if (!sets_.contains(n)) return refuse("Address set", n, "it does not exist.");
  for (const auto& n : delta.remove_rules)
    if (!rules_.contains(n) || set_rules.contains(n))
      return refuse("Rule", n, "it does not exist, or the same change sets it.");
  for (const auto& n : delta.remove_segments)
    if (!segment_places_.contains(n)) return refuse("Segment", n, "it does not exist.");
  for (const auto& n : delta.remove_workloads)
    if (!workload_places_.contains(n) || set_workloads.contains(n) || set_indexes.contains(n))
      return refuse("Workload", n, "it does not exist, or the same change sets it.");

  auto names_removed = [&](const RuleChange& rule) {
    for (const auto* names : {&rule.sources, &rule.destinations})
      if (*names && std::any_of((*names)->begin(), (*names)->end(), [&](const auto& n) { return sets.contains(n); }))
        return true;
    return false;
  };
  if (!sets.empty()) {
    for (const auto& rule : delta.set_rules)
      if (names_removed(rule)) return refuse("Rule", rule.key, "it refers to an address set that goes.");
    for (const auto& [key, stored] : rules_)
      if (!rules.contains(key) && !set_rules.contains(key) && names_removed(stored.change))
        return invalid("Rule " + quoted(key) + " refers to an address set that is to be removed.");
  }
  if (!rules.empty()) {
    auto key_removed = [&](const std::vector<std::string>& keys) {
      return std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return rules.contains(k); });
    };
    for (const auto& index : delta.set_indexes)
      for (const auto* table : {&index.in, &index.out})
        if (std::any_of(table->begin(), table->end(), key_removed))
          return invalid("The index of workload " + quoted(index.workload) +
                         " refers to a rule that is to be removed.");
    for (const auto& w : workloads_) {
      if (!w || workloads.contains(w->name) || set_indexes.contains(w->name)) continue;
      for (const auto* table : {&w->in, &w->out})
        for (const auto& rule : table->rules)
          if (rules.contains(rule->key))
            return invalid("The index of workload " + quoted(w->name) + " refers to rule " + quoted(rule->key) +
                           ", which is to be removed.");
    }
  }
  if (!segments.empty()) {
    for (const auto& w : delta.set_workloads)
      if (segments.contains(w.segment))
        return invalid("Workload " + quoted(w.name) + " is in a segment that is to be removed.");
    for (const auto& w : workloads_)
      if (w && !workloads.contains(w->name) && !set_workloads.contains(w->name) &&
          segments.contains(segments_[w->segment]->name))
        return invalid("Workload " + quoted(w->name) + " is in a segment that is to be removed.");
  }
  return {};
}

}  // namespace headgate
