// Applying a delta to workloads and segments, and joining workloads to ports.
#include <algorithm>

#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {

void Publisher::apply_segments(const Delta& delta) {
  if (!delta.set_segments.empty()) topology_ = nullptr;
  for (const SegmentChange& change : delta.set_segments) {
    auto [known, fresh] = segment_places_.try_emplace(change.name, 0);
    if (fresh) known->second = segment_numbers_.take();
    uint32_t place = known->second;
    segments_.resize(std::max<size_t>(segments_.size(), place + 1));
    uses_.resize(segments_.size());
    auto segment = std::make_shared<Segment>();
    segment->name = change.name;
    segment->digest = change.digest;
    segment->vlan[0] = static_cast<uint16_t>(change.vlan);
    segment->vlan[1] = static_cast<uint16_t>(change.inner_vlan);
    auto tracker = std::find(trackers_.begin(), trackers_.end(), change.tracker);
    segment->tracker = static_cast<uint16_t>(tracker - trackers_.begin());
    if (tracker == trackers_.end()) trackers_.push_back(change.tracker);
    segment->macs = fresh ? std::make_shared<MacTable>() : segments_[place]->macs;
    segments_[place] = segment;
  }
}

void Publisher::apply_workloads(const Delta& delta) {
  if (!delta.set_workloads.empty()) topology_ = nullptr;
  // MACs may go from one workload to another.
  for (const WorkloadChange& change : delta.set_workloads)
    if (auto known = workload_places_.find(change.name); known != workload_places_.end()) {
      segments_[workloads_[known->second]->segment]->macs->forget(known->second);
      leave_segment(known->second);
    }
  for (const WorkloadChange& change : delta.set_workloads) {
    auto [known, fresh] = workload_places_.try_emplace(change.name, 0);
    if (fresh) known->second = workload_numbers_.take();
    uint32_t place = known->second;
    size_t places = std::max<size_t>(workloads_.size(), place + 1);
    workloads_.resize(places);
    scopes_of_.resize(places);
    epochs_.resize(places);
    touched_.resize(places);
    auto workload = fresh ? std::make_shared<Workload>() : std::make_shared<Workload>(*workloads_[place]);
    if (fresh) {
      workload->name = change.name;
      workload->serial = next_workload_serial_++;
      workload_names_[workload->serial] = change.name;
    }
    workload->digest = change.digest;
    workload->segment = segment_places_.at(change.segment);
    workload->trunk = change.trunk;
    workload->limits = change.limits;
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
    forget_.emplace_back(segments_[workloads_[place]->segment]->macs, place);
    leave_segment(place);
    classifier_.forget(place);
    workload_names_.erase(workloads_[place]->serial);
    workloads_[place] = nullptr;
    workload_places_.erase(name);
    workload_numbers_.give_back(place);
  }
  for (const std::string& name : delta.remove_segments) {
    uint32_t place = segment_places_.at(name);
    segments_[place] = nullptr;
    segment_places_.erase(name);
    segment_numbers_.give_back(place);
  }
}

Refusal Publisher::bind(const std::string& name, std::shared_ptr<AttachedPort> attached) {
  uint32_t place = find_place(name);
  if (place == kNoWorkload)
    return {"unknown-workload", "There is no workload '" + name + "' to attach: publish it first."};
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
      const Segment& theirs = *segments_[other->segment];
      if (!port->attached->trunk || (theirs.vlan[0] == segment.vlan[0] && theirs.vlan[1] == segment.vlan[1]))
        return {"device-taken", "Workload '" + workload.name + "' cannot be attached to " + port->attached->device +
                                    ": workload '" + other->name +
                                    "' has it with the same VLAN. Give their segments different VLANs."};
    }
  }
  ++port->users;
  workload.port = static_cast<uint16_t>(port - ports_.begin());
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
  workload->port = kNoPort;
  workloads_[place] = std::move(workload);
  topology_ = nullptr;
  return --port.users ? nullptr : std::move(port.attached);
}

std::shared_ptr<AttachedPort> Publisher::find_trunk(const std::string& device) const {
  for (const OpenPort& port : ports_)
    if (port.attached && port.attached->trunk && port.attached->device == device) return port.attached;
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
  }
  std::vector<std::vector<uint32_t>> members(segments_.size());
  for (uint32_t i = 0; i < workloads_.size(); ++i) {
    if (!workloads_[i]) continue;
    const Workload& w = *workloads_[i];
    members[w.segment].push_back(i);
    if (w.port == kNoPort) continue;
    PortView& view = next->ports[w.port];
    const Segment& segment = *segments_[w.segment];
    if (view.trunk)
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
  for (PortView& view : next->ports) {
    if (view.workload == kNoWorkload) continue;
    view.sender = next->workloads[view.workload].get();
    view.segment = next->segments[view.sender->segment].get();
  }
  return next;
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
