// The gate for workloads and segments; publisher_check.cc has the rest.
#include "tables/delta_names.h"
#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

constexpr size_t kMostTrackers = 65535;
constexpr size_t kMostBridges = 65536;
constexpr size_t kMostPinnedMacs = MacTable::kSlots / 2;  // of a segment: the table stays half empty

bool same_remote(const Workload& held, const WorkloadChange& change) {
  if (!held.remote || !change.remote) return !held.remote && !change.remote;
  return held.remote->address == parse_address(change.remote->address) && held.remote->key == change.remote->key;
}

// Or none, 0.
bool is_vlan(int id) {
  return id >= 0 && id <= 4094;
}

}  // namespace

// What frames come with on a side tells which bridge they are of; what crosses is judged by a tracker that is there.
Refusal Publisher::check_bridges(const SegmentChange& edge, const std::string& where, const DeltaNames& names) const {
  if (edge.bridges.size() > kMostBridges) return invalid_delta(where + " has more than 65,536 bridges.");
  for (int side : {0, 1}) {
    std::unordered_set<uint32_t> seen;
    for (const BridgeChange& bridge : edge.bridges) {
      const int outer = bridge.vlan[side][0], inner = bridge.vlan[side][1];
      if (!is_vlan(outer) || !is_vlan(inner) || (inner && !outer))
        return invalid_delta(where + " has a VLAN out of range, or an inner VLAN without an outer one.");
      if (!seen.insert(BridgeTags::of(static_cast<uint16_t>(outer), static_cast<uint16_t>(inner))).second)
        return invalid_delta(where + " has two bridges with VLAN " + std::to_string(outer) + " on one side.");
    }
  }
  for (const BridgeChange& bridge : edge.bridges) {
    if (bridge.tracker.empty()) return invalid_delta(where + " has a bridge without a tracker.");
    const auto coming = names.workloads.find(bridge.judge);
    const auto* held = find_workload(bridge.judge);
    const bool removed = names.removed_workloads.contains(bridge.judge);
    const bool is_tracker =
        coming != names.workloads.end() ? coming->second->segment.empty() : held && (*held)->segment == kNoSegment;
    if (removed || !is_tracker)
      return invalid_delta(where + " refers to tracker " + quoted(bridge.judge) +
                           (removed ? ", which the same change removes. Keep it, or remove what refers to it."
                                    : ", which does not exist. Set it in the same change."));
  }
  return {};
}

Refusal Publisher::check_segments(const Delta& delta, const DeltaNames& names) const {
  size_t trackers = trackers_.size();
  for (const SegmentChange& segment : delta.set_segments) {
    const std::string where = "Segment " + quoted(segment.name);
    if (!is_vlan(segment.vlan) || !is_vlan(segment.inner_vlan) || (segment.inner_vlan && !segment.vlan))
      return invalid_delta(where + " has a VLAN out of range, or an inner VLAN without an outer one.");
    if (segment.tracker.empty() == segment.bridges.empty())
      return invalid_delta(where + " needs a tracker or bridges, one of both.");
    trackers += segment.bridges.size() + 1;
    if (Refusal r = check_bridges(segment, where, names)) return r;
    if (const auto known = segment_places_.find(segment.name); known != segment_places_.end())
      if (segments_[known->second]->bridges.empty() != segment.bridges.empty() && uses_[known->second].workloads)
        return invalid_delta(where + " becomes another kind of switch while workloads are in it. Remove them first.");
  }
  if (trackers > kMostTrackers) return {"table-full", "No room for more trackers."};
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
    if (known && ((*known)->segment == kNoSegment) != w.segment.empty())
      return invalid_delta(where + " cannot become a tracker, nor a tracker a workload. Remove it first.");
    if (w.segment.empty()) {
      if (w.trunk || w.mac || w.addresses || w.side)
        return invalid_delta(where + " is a tracker, which has neither port nor addresses.");
      continue;
    }
    if (names.removed_segments.contains(w.segment))
      return invalid_delta(where + " is in segment " + quoted(w.segment) +
                           ", which the same change removes. Keep it, or move the workload.");
    if (!segment_places_.contains(w.segment) && !names.segments.contains(w.segment))
      return invalid_delta(where + " is in segment " + quoted(w.segment) +
                           ", which does not exist. Set it in the same change.");
    if (Refusal r = check_side(w, where, names)) return r;
    if (known && (*known)->port != kNoPort &&
        ((*known)->trunk != w.trunk || segments_[(*known)->segment]->name != w.segment))
      return {"attached", where + " is attached: detach it before it moves to another segment or kind of port."};
    if (known && (*known)->port != kNoPort && !same_remote(**known, w))
      return {"attached", where + " is attached: detach it before it stands for another remote."};
    if (w.remote && !parse_address(w.remote->address))
      return invalid_delta(where + ": " + quoted(w.remote->address) + " is no address of a remote.");
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

// An edge pair has two members, one of each side; a segment has none that has a side.
Refusal Publisher::check_side(const WorkloadChange& w, const std::string& where, const DeltaNames& names) const {
  const auto coming = names.segments.find(w.segment);
  const auto held = segment_places_.find(w.segment);
  const bool is_edge =
      coming != names.segments.end() ? !coming->second->bridges.empty() : !segments_[held->second]->bridges.empty();
  if (is_edge != w.side.has_value())
    return invalid_delta(
        where + (is_edge ? " is in an edge pair and needs a side." : " has a side, but its segment is no edge pair."));
  if (!is_edge) return {};
  if (w.trunk || w.mac || w.addresses)
    return invalid_delta(where + " is an edge's interface, which has neither MAC nor addresses nor others beside it.");
  const auto taken = [&](const std::string& other, const std::string& segment, const std::optional<EdgeSide>& side) {
    return other != w.name && segment == w.segment && side == w.side;
  };
  for (const auto& [name, other] : names.workloads)
    if (taken(other->name, other->segment, other->side))
      return invalid_delta(where + " has the side of " + quoted(other->name) + ".");
  if (held == segment_places_.end()) return {};
  for (const auto& other : workloads_)
    if (other && other->segment == held->second && taken(other->name, w.segment, other->side) &&
        !names.workloads.contains(other->name) && !names.removed_workloads.contains(other->name))
      return invalid_delta(where + " has the side of " + quoted(other->name) + ".");
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

// No bridge that stays is judged by a tracker that goes.
Refusal Publisher::check_judges(const Delta& delta, const DeltaNames& names) const {
  std::unordered_set<uint32_t> going;
  for (const std::string& name : delta.remove_workloads)
    if (const uint32_t place = find_place(name); place != kNoWorkload && workloads_[place]->segment == kNoSegment)
      going.insert(place);
  if (going.empty()) return {};
  for (const auto& segment : segments_) {
    if (!segment || names.segments.contains(segment->name) || names.removed_segments.contains(segment->name)) continue;
    for (const Bridge& bridge : segment->bridges)
      if (going.contains(bridge.judge))
        return invalid_delta("Tracker " + quoted(workloads_[bridge.judge]->name) + " cannot be removed: edge pair " +
                             quoted(segment->name) + " refers to it. Remove that too.");
  }
  return {};
}

// A workload that is removed has left every scope, or leaves it in the same change.
Refusal Publisher::check_leavers(const Delta& delta, const DeltaNames& names) const {
  if (delta.remove_workloads.empty()) return {};
  if (Refusal r = check_judges(delta, names)) return r;
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
