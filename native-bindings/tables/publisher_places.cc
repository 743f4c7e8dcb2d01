// Applying a delta to workloads and segments, and joining workloads to ports.
#include <algorithm>

#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

bool is_of(const Remote& remote, const RemoteChange& change) {
  return remote.address == parse_address(change.address) && remote.key == change.key &&
         remote.fragment == change.fragment;
}

std::shared_ptr<Remote> make_remote(const RemoteChange& change) {
  auto remote = std::make_shared<Remote>();
  remote->address = *parse_address(change.address);
  remote->key = change.key;
  remote->fragment = change.fragment;
  return remote;
}

// Whether both may be on one port: it is a trunk, or a tunnel, and tells them apart.
bool share(const AttachedPort& port, const Workload& a, const Segment& of_a, const Workload& b, const Segment& of_b) {
  if (port.tunnel)
    return a.remote && b.remote && (a.remote->address != b.remote->address || a.remote->key != b.remote->key);
  return port.trunk && (of_a.vlan[0] != of_b.vlan[0] || of_a.vlan[1] != of_b.vlan[1]);
}

}  // namespace

void Publisher::apply_segments(const Delta& delta) {
  if (!delta.set_segments.empty()) topology_ = nullptr;
  for (const SegmentChange& change : delta.set_segments) {
    auto [known, fresh] = segment_places_.try_emplace(change.name, 0);
    Names::Numbers numbers;
    const bool former = fresh && names_.claim(Names::Kind::kSegment, change.name, numbers);
    if (fresh && !former) names_.note(Names::Kind::kSegment, change.name, numbers = {segment_numbers_.take(), 0});
    if (fresh) known->second = numbers.place;
    uint32_t place = known->second;
    segments_.resize(std::max<size_t>(segments_.size(), place + 1));
    uses_.resize(segments_.size());
    auto segment = std::make_shared<Segment>();
    segment->name = change.name;
    segment->digest = change.digest;
    segment->vlan[0] = static_cast<uint16_t>(change.vlan);
    segment->vlan[1] = static_cast<uint16_t>(change.inner_vlan);
    if (change.bridges.empty()) segment->tracker = tracker_number(change.tracker);
    segment->macs = fresh ? macs_of(place, former) : segments_[place]->macs;
    segments_[place] = segment;
  }
}

// Trackers keep their number for good: records name them by it.
uint16_t Publisher::tracker_number(const std::string& name) {
  const auto known = std::find(trackers_.begin(), trackers_.end(), name);
  const auto number = static_cast<uint16_t>(known - trackers_.begin());
  if (known != trackers_.end()) return number;
  trackers_.push_back(name);
  names_.note(Names::Kind::kTracker, name, {number, 0});
  topology_ = nullptr;  // reports look names up there
  return number;
}

// Segments beyond the memory learn their MACs anew in another engine.
std::shared_ptr<MacTable> Publisher::macs_of(uint32_t segment, bool former) const {
  const size_t at = segment * MacTable::kBytes;
  if (at + MacTable::kBytes > mac_memory_.size()) return std::make_shared<MacTable>();
  if (!former) wipe(mac_memory_.data() + at, MacTable::kBytes);
  return std::make_shared<MacTable>(mac_memory_.data() + at);
}

// Once the trackers that judge have their places.
void Publisher::apply_bridges(const Delta& delta) {
  for (const SegmentChange& change : delta.set_segments) {
    if (change.bridges.empty()) continue;
    std::shared_ptr<const Segment>& held = segments_[segment_places_.at(change.name)];
    auto segment = std::make_shared<Segment>(*held);
    for (const BridgeChange& from : change.bridges) {
      Bridge& bridge = segment->bridges.emplace_back();
      for (int side : {0, 1})
        for (int tag : {0, 1}) bridge.vlan[side][tag] = static_cast<uint16_t>(from.vlan[side][tag]);
      bridge.tracker = tracker_number(from.tracker);
      bridge.judge = find_place(from.judge);
    }
    held = std::move(segment);
  }
}

void Publisher::apply_workloads(const Delta& delta) {
  if (!delta.set_workloads.empty()) topology_ = nullptr;
  // MACs may go from one workload to another.
  for (const WorkloadChange& change : delta.set_workloads)
    if (auto known = workload_places_.find(change.name);
        known != workload_places_.end() && workloads_[known->second]->segment != kNoSegment) {
      segments_[workloads_[known->second]->segment]->macs->forget(known->second);
      leave_segment(known->second);
    }
  for (const WorkloadChange& change : delta.set_workloads) {
    auto [known, fresh] = workload_places_.try_emplace(change.name, 0);
    Names::Numbers numbers;
    if (fresh && !names_.claim(Names::Kind::kWorkload, change.name, numbers)) {
      numbers = {workload_numbers_.take(), names_.take_serial(Names::Kind::kWorkload)};
      names_.note(Names::Kind::kWorkload, change.name, numbers);
    }
    if (fresh) known->second = numbers.place;
    uint32_t place = known->second;
    size_t places = std::max<size_t>(workloads_.size(), place + 1);
    workloads_.resize(places);
    scopes_of_.resize(places);
    epochs_.resize(places);
    touched_.resize(places);
    auto workload = fresh ? std::make_shared<Workload>() : std::make_shared<Workload>(*workloads_[place]);
    if (fresh) {
      workload->name = change.name;
      workload->serial = numbers.serial;
      workload_names_[workload->serial] = change.name;
    }
    workload->digest = change.digest;
    workload->limits = change.limits;
    if (change.segment.empty()) {
      workloads_[place] = std::move(workload);
      touch(place);
      continue;
    }
    workload->segment = segment_places_.at(change.segment);
    workload->trunk = change.trunk;
    workload->side = change.side;
    if (!change.remote)
      workload->remote = nullptr;
    else if (!workload->remote || !is_of(*workload->remote, *change.remote))
      workload->remote = make_remote(*change.remote);
    ++uses_[workload->segment].workloads;
    workload->pinned_mac = change.mac.has_value();
    if (change.mac) {
      workload->mac = *parse_mac(*change.mac);
      segments_[workload->segment]->macs->pin(workload->mac, place);
      pinned_[{workload->segment, workload->mac}] = place;
      ++uses_[workload->segment].pinned;
    }
    workload->any_address = !change.addresses.has_value();
    workload->addresses = change.addresses ? parse_address_set(*change.addresses) : AddressSet();
    workloads_[place] = std::move(workload);
    touch(place);
  }
}

// It is no longer counted there, and its MAC is free.
void Publisher::leave_segment(uint32_t place) {
  const Workload& workload = *workloads_[place];
  --uses_[workload.segment].workloads;
  if (!workload.pinned_mac) return;
  --uses_[workload.segment].pinned;
  auto pinned = pinned_.find({workload.segment, workload.mac});
  if (pinned != pinned_.end() && pinned->second == place) pinned_.erase(pinned);
}

void Publisher::remove_places(const Delta& delta) {
  if (!delta.remove_workloads.empty() || !delta.remove_segments.empty()) topology_ = nullptr;
  for (const std::string& name : delta.remove_workloads) {
    if (auto last = unbind(name)) released_[name] = std::move(last);
    uint32_t place = workload_places_.at(name);
    if (workloads_[place]->segment != kNoSegment) {
      forget_.emplace_back(segments_[workloads_[place]->segment]->macs, place);
      leave_segment(place);
    }
    classifier_.forget(place);
    workload_names_.erase(workloads_[place]->serial);
    workloads_[place] = nullptr;
    workload_places_.erase(name);
    names_.forget(Names::Kind::kWorkload, name);
    workload_numbers_.give_back(place);
  }
  for (const std::string& name : delta.remove_segments) {
    uint32_t place = segment_places_.at(name);
    segments_[place] = nullptr;
    segment_places_.erase(name);
    names_.forget(Names::Kind::kSegment, name);
    segment_numbers_.give_back(place);
  }
}

Refusal Publisher::bind(const std::string& name, std::shared_ptr<AttachedPort> attached) {
  uint32_t place = find_place(name);
  if (place == kNoWorkload)
    return {"unknown-workload", "There is no workload '" + name + "' to attach: publish it first."};
  if (workloads_[place]->segment == kNoSegment)
    return {"unknown-workload", "'" + name + "' is a tracker: it has no port."};
  if (workloads_[place]->port != kNoPort) return {"already-attached", "Workload '" + name + "' is attached already."};
  auto workload = std::make_shared<Workload>(*workloads_[place]);
  if (Refusal refusal = join_port(*workload, std::move(attached))) return refusal;
  workloads_[place] = std::move(workload);
  topology_ = nullptr;
  return {};
}

Refusal Publisher::join_port(Workload& workload, std::shared_ptr<AttachedPort> attached) {
  const Segment& segment = *segments_[workload.segment];
  auto port = std::find_if(ports_.begin(), ports_.end(), [&](const OpenPort& p) { return p.attached == attached; });
  if (port == ports_.end()) {
    port = std::find_if(ports_.begin(), ports_.end(), [](const OpenPort& p) { return !p.attached; });
    if (port == ports_.end()) {
      if (ports_.size() >= kNoPort) return {"too-many-ports", "No room for another port: 65,535 are attached."};
      port = ports_.emplace(port);
    }
    port->attached = std::move(attached);
  } else {
    for (const auto& other : workloads_) {
      if (!other || other->port != port - ports_.begin()) continue;
      if (!share(*port->attached, workload, segment, *other, *segments_[other->segment]))
        return {"device-taken", "Workload '" + workload.name + "' cannot be attached to " + port->attached->device +
                                    ": workload '" + other->name +
                                    "' has it with the same VLAN or VNI. Give their segments different ones."};
    }
  }
  ++port->users;
  workload.port = static_cast<uint16_t>(port - ports_.begin());
  workload.output = port->attached->tunnel ? kNoPort : workload.port;
  return {};
}

std::shared_ptr<AttachedPort> Publisher::unbind(const std::string& name) {
  uint32_t place = find_place(name);
  if (place == kNoWorkload) {
    auto released = released_.extract(name);
    return released ? std::move(released.mapped()) : nullptr;
  }
  if (workloads_[place]->port == kNoPort) return nullptr;
  auto workload = std::make_shared<Workload>(*workloads_[place]);
  OpenPort& port = ports_[workload->port];
  workload->port = workload->output = kNoPort;
  workloads_[place] = std::move(workload);
  topology_ = nullptr;
  return --port.users ? nullptr : std::move(port.attached);
}

std::shared_ptr<AttachedPort> Publisher::find_shared(const std::string& device, bool tunnel) const {
  for (const OpenPort& port : ports_)
    if (port.attached && (tunnel ? port.attached->tunnel != nullptr : port.attached->trunk) &&
        port.attached->device == device)
      return port.attached;
  return nullptr;
}

std::shared_ptr<const Topology> Publisher::make_topology() const {
  auto next = std::make_shared<Topology>();
  next->workloads = workloads_;
  next->trackers = trackers_;
  next->ports.resize(ports_.size());
  for (size_t i = 0; i < ports_.size(); ++i) {
    next->ports[i].attached = ports_[i].attached;
    next->ports[i].trunk = ports_[i].attached && ports_[i].attached->trunk;
    next->ports[i].tunnel = ports_[i].attached ? ports_[i].attached->tunnel : nullptr;
  }
  std::vector<std::vector<uint32_t>> members(segments_.size());
  for (uint32_t i = 0; i < workloads_.size(); ++i) {
    if (!workloads_[i]) continue;
    const Workload& w = *workloads_[i];
    if (w.segment == kNoSegment) continue;
    members[w.segment].push_back(i);
    if (w.port == kNoPort) continue;
    PortView& view = next->ports[w.port];
    const Segment& segment = *segments_[w.segment];
    if (view.tunnel)
      view.remotes.push_back({w.remote->address, w.remote->key, i});
    else if (view.trunk)
      view.members.push_back({{segment.vlan[0], segment.vlan[1]}, i});
    else
      view.workload = i;
  }
  next->segments.resize(segments_.size());
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (!segments_[i]) continue;
    auto segment = std::make_shared<Segment>(*segments_[i]);
    segment->members = std::move(members[i]);
    next->segments[i] = std::move(segment);
  }
  for (const auto& [name, held] : portals_) {
    const uint32_t place = workload_places_.at(held.change.workload);
    const Workload& w = *workloads_[place];
    if (w.port == kNoPort) continue;
    auto& members = next->ports[w.port].portals;
    const auto is_it = [&](const ServiceMember& m) { return m.workload == place; };
    if (std::ranges::none_of(members, is_it)) members.push_back({w.remote ? w.remote->address : Address{}, place});
  }
  for (PortView& view : next->ports) {
    std::ranges::sort(view.remotes, {}, &TunnelMember::hop);
    if (view.workload == kNoWorkload || !view.portals.empty()) continue;
    const Workload& w = *next->workloads[view.workload];
    view.segment = next->segments[w.segment].get();
    if (w.side)
      make_edge(view, *w.side);
    else
      view.sender = &w;
  }
  return next;
}

// The port's bridges by the tags of its side, and the pair's other interface.
void Publisher::make_edge(PortView& view, EdgeSide side) const {
  view.edge = true;
  for (uint32_t member : view.segment->members)
    if (member != view.workload) view.partner = member;
  const auto& bridges = view.segment->bridges;
  for (uint32_t i = 0; i < bridges.size(); ++i) {
    const auto& vlan = bridges[i].vlan[static_cast<int>(side)];
    view.by_tags.push_back({BridgeTags::of(vlan[0], vlan[1]), i});
  }
  std::ranges::sort(view.by_tags, {}, &BridgeTags::tags);
}

uint32_t Publisher::find_place(const std::string& name) const {
  auto known = workload_places_.find(name);
  return known == workload_places_.end() ? kNoWorkload : known->second;
}

const std::shared_ptr<const Workload>* Publisher::find_workload(const std::string& name) const {
  uint32_t place = find_place(name);
  return place == kNoWorkload ? nullptr : &workloads_[place];
}

}  // namespace headgate
