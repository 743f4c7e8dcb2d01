// The gate for workloads and segments; publisher_check.cc has the rest.
#include "tables/delta_names.h"
#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

constexpr size_t kMostTrackers = 65535;
constexpr size_t kMostPinnedMacs = MacTable::kSlots / 2;  // of a segment: the table stays half empty

}  // namespace

Refusal Publisher::check_segments(const Delta& delta, const DeltaNames& names) const {
  for (const SegmentChange& segment : delta.set_segments) {
    const std::string where = "Segment " + quoted(segment.name);
    auto bad = [](int vlan) { return vlan < 0 || vlan > 4094; };
    if (bad(segment.vlan) || bad(segment.inner_vlan) || (segment.inner_vlan && !segment.vlan))
      return invalid_delta(where + " has a VLAN out of range, or an inner VLAN without an outer one.");
    if (segment.tracker.empty()) return invalid_delta(where + " names no tracker.");
  }
  if (trackers_.size() + delta.set_segments.size() > kMostTrackers) return {"table-full", "No room for more trackers."};
  for (const std::string& name : delta.remove_segments) {
    auto place = segment_places_.find(name);
    if (place == segment_places_.end())
      return invalid_delta("Segment " + quoted(name) + " cannot be removed: it does not exist.");
    uint32_t left = uses_[place->second].workloads;
    auto leaves = [&](const std::string& workload) {
      uint32_t at = find_place(workload);
      left -= at != kNoWorkload && workloads_[at]->segment == place->second;
    };
    for (const WorkloadChange& w : delta.set_workloads) leaves(w.name);
    for (const std::string& workload : delta.remove_workloads) leaves(workload);
    if (!left) continue;
    for (const auto& w : workloads_)
      if (w && w->segment == place->second && !names.workloads.contains(w->name) &&
          !names.removed_workloads.contains(w->name))
        return invalid_delta("Segment " + quoted(name) + " cannot be removed: workload " + quoted(w->name) +
                             " is in it. Remove that too, or move it.");
  }
  return {};
}

Refusal Publisher::check_workloads(const Delta& delta, const DeltaNames& names) const {
  size_t fresh = 0;
  for (const WorkloadChange& w : delta.set_workloads) {
    const std::string where = "Workload " + quoted(w.name);
    const auto* known = find_workload(w.name);
    fresh += !known;
    if (names.removed_segments.contains(w.segment))
      return invalid_delta(where + " is in segment " + quoted(w.segment) +
                           ", which the same change removes. Keep it, or move the workload.");
    if (!segment_places_.contains(w.segment) && !names.segments.contains(w.segment))
      return invalid_delta(where + " is in segment " + quoted(w.segment) +
                           ", which does not exist. Set it in the same change.");
    if (known && (*known)->port != kNoPort &&
        ((*known)->trunk != w.trunk || segments_[(*known)->segment]->name != w.segment))
      return {"attached", where + " is attached: detach it before it moves to another segment or kind of port."};
    if (w.mac && !parse_mac(*w.mac))
      return invalid_delta(where + ": " + quoted(*w.mac) + " is no unicast MAC in lower case.");
    if (!w.addresses) continue;
    for (const std::string& text : *w.addresses)
      if (!parse_address_range(text))
        return invalid_delta(where + ": " + quoted(text) + " is no address, prefix or range.");
  }
  if (workload_places_.size() + fresh > MacTable::kMostWorkload)
    return {"table-full", "More than 32,766 workloads on one host: remove " +
                              std::to_string(workload_places_.size() + fresh - MacTable::kMostWorkload) + " of them."};
  return {};
}

// A MAC belongs to one workload of a segment, and a segment's table of them stays half empty.
Refusal Publisher::check_macs(const Delta& delta, const DeltaNames& names) const {
  std::map<std::pair<std::string_view, Mac>, const WorkloadChange*> coming;
  std::unordered_map<std::string_view, size_t> pinned;  // of the segments that workloads come to
  for (const WorkloadChange& w : delta.set_workloads) {
    if (!w.mac) continue;
    const Mac mac = *parse_mac(*w.mac);
    const auto segment = segment_places_.find(w.segment);
    const bool held = segment != segment_places_.end();
    const std::string* owner = nullptr;
    if (const auto [other, alone] = coming.emplace(std::pair{std::string_view(w.segment), mac}, &w); !alone)
      owner = &other->second->name;
    if (const auto other = held ? pinned_.find({segment->second, mac}) : pinned_.end(); other != pinned_.end())
      if (const std::string& name = workloads_[other->second]->name;
          !names.workloads.contains(name) && !names.removed_workloads.contains(name))
        owner = &name;
    if (owner)
      return invalid_delta("Workload " + quoted(w.name) + ": workload " + quoted(*owner) + " of segment " +
                           quoted(w.segment) + " has MAC " + *w.mac + ". Give it another.");
    ++pinned.emplace(w.segment, held ? uses_[segment->second].pinned : 0).first->second;
  }
  auto leaves = [&](const std::string& name) {
    const auto* known = find_workload(name);
    if (!known || !(*known)->pinned_mac) return;
    if (auto at = pinned.find(segments_[(*known)->segment]->name); at != pinned.end()) --at->second;
  };
  for (const WorkloadChange& w : delta.set_workloads) leaves(w.name);
  for (const std::string& name : delta.remove_workloads) leaves(name);
  for (const auto& [segment, count] : pinned)
    if (count > kMostPinnedMacs)
      return {"table-full", "Segment " + quoted(segment) + " would have " + std::to_string(count) +
                                " workloads with a MAC, and holds " + std::to_string(kMostPinnedMacs) + ". Divide it."};
  return {};
}

// A workload that is removed has left every scope, or leaves it in the same change.
Refusal Publisher::check_leavers(const Delta& delta, const DeltaNames& names) const {
  if (delta.remove_workloads.empty()) return {};
  std::unordered_map<std::string_view, std::unordered_set<std::string_view>> left;
  for (const ScopeEdit& edit : delta.edit_scopes) left[edit.name].insert(edit.remove.begin(), edit.remove.end());
  for (const std::string& name : delta.remove_workloads) {
    const uint32_t place = find_place(name);
    if (place == kNoWorkload)
      return invalid_delta("Workload " + quoted(name) + " cannot be removed: it does not exist.");
    for (const Scope* scope : scopes_of_[place]) {
      if (names.removed_scopes.contains(scope->name) || names.scopes.contains(scope->name)) continue;
      if (auto edit = left.find(scope->name); edit != left.end() && edit->second.contains(name)) continue;
      return invalid_delta("Workload " + quoted(name) + " cannot be removed: it is in scope " + quoted(scope->name) +
                           ". Take it out of that in the same change.");
    }
  }
  return {};
}

}  // namespace headgate
