// Applying a delta and building generations; the checks stand in publisher_check.cc.
#include "tables/publisher.h"

#include <algorithm>

#include "tables/text.h"

namespace headgate {
namespace {

template <class T>
uint32_t free_place(std::vector<std::shared_ptr<T>>& places, const std::vector<uint32_t>& reserved = {}) {
  for (uint32_t i = 0; i < places.size(); ++i)
    if (!places[i] && std::find(reserved.begin(), reserved.end(), i) == reserved.end()) return i;
  places.push_back(nullptr);
  return static_cast<uint32_t>(places.size() - 1);
}

AddressSet make_set(const std::vector<std::string>& ranges) {
  std::vector<AddressRange> parsed;
  parsed.reserve(ranges.size());
  for (const std::string& text : ranges) parsed.push_back(*parse_address_range(text));
  return AddressSet(std::move(parsed));
}

}  // namespace

Refusal Publisher::apply(const Delta& delta) {
  if (Refusal refusal = check(delta)) return refusal;
  changed_sets_.clear();
  changed_rules_.clear();
  apply_sets(delta);
  apply_rules(delta);
  apply_segments(delta);
  apply_workloads(delta);
  renew_indexes();
  apply_indexes(delta);
  released_.clear();
  apply_removals(delta);
  if (delta.timeouts) timeouts_ = *delta.timeouts;
  if (delta.default_action && *delta.default_action != default_action_) {
    default_action_ = *delta.default_action;
    bump_all_epochs();
  }
  published_ = true;
  return {};
}

void Publisher::apply_sets(const Delta& delta) {
  for (const AddressSetChange& change : delta.set_address_sets) {
    sets_[change.name] = {change.digest, std::make_shared<AddressSet>(make_set(change.ranges))};
    changed_sets_.insert(change.name);
  }
}

std::shared_ptr<const Rule> Publisher::make_rule(const RuleChange& change, uint32_t serial) const {
  auto rule = std::make_shared<Rule>();
  rule->key = change.key;
  rule->serial = serial;
  auto resolve = [&](const std::optional<std::vector<std::string>>& names, bool& any, AddressSets& sets) {
    any = !names.has_value();
    if (names)
      for (const std::string& name : *names) sets.push_back(sets_.at(name).set);
  };
  resolve(change.sources, rule->any_source, rule->sources);
  resolve(change.destinations, rule->any_destination, rule->destinations);
  rule->any_service = !change.services.has_value();
  if (change.services) rule->services = *change.services;
  rule->action = change.action;
  rule->on_change = change.on_change;
  rule->observe = change.observe;
  rule->log = change.log;
  return rule;
}

// New and changed rules, and those whose address sets changed. A key keeps its serial, so hits survive.
void Publisher::apply_rules(const Delta& delta) {
  for (const RuleChange& change : delta.set_rules) {
    auto known = rules_.find(change.key);
    uint32_t serial = known != rules_.end() ? known->second.rule->serial : next_rule_serial_++;
    if (known != rules_.end()) changed_rules_.insert(change.key);
    rule_keys_[serial] = change.key;
    rules_[change.key] = {change, make_rule(change, serial)};
  }
  if (changed_sets_.empty()) return;
  auto uses_changed = [&](const std::optional<std::vector<std::string>>& names) {
    return names && std::any_of(names->begin(), names->end(), [&](const auto& n) { return changed_sets_.contains(n); });
  };
  for (auto& [key, stored] : rules_) {
    if (!uses_changed(stored.change.sources) && !uses_changed(stored.change.destinations)) continue;
    stored.rule = make_rule(stored.change, stored.rule->serial);
    changed_rules_.insert(key);
  }
}

void Publisher::apply_segments(const Delta& delta) {
  for (const SegmentChange& change : delta.set_segments) {
    auto known = segment_places_.find(change.name);
    uint32_t place = known != segment_places_.end() ? known->second : free_place(segments_);
    auto segment = std::make_shared<Segment>();
    segment->name = change.name;
    segment->digest = change.digest;
    segment->vlan[0] = static_cast<uint16_t>(change.vlan);
    segment->vlan[1] = static_cast<uint16_t>(change.inner_vlan);
    auto tracker = std::find(trackers_.begin(), trackers_.end(), change.tracker);
    segment->tracker = static_cast<uint16_t>(tracker - trackers_.begin());
    if (tracker == trackers_.end()) trackers_.push_back(change.tracker);
    segment->macs = segments_[place] ? segments_[place]->macs : std::make_shared<MacTable>();
    segments_[place] = segment;
    segment_places_[change.name] = place;
  }
}

void Publisher::apply_workloads(const Delta& delta) {
  for (const WorkloadChange& change : delta.set_workloads) {
    auto known = workload_places_.find(change.name);
    bool fresh = known == workload_places_.end();
    uint32_t place = fresh ? free_place(workloads_, leaving_) : known->second;
    auto workload = fresh ? std::make_shared<Workload>() : std::make_shared<Workload>(*workloads_[place]);
    uint32_t segment = segment_places_.at(change.segment);
    if (fresh) {
      workload->name = change.name;
      workload->serial = next_workload_serial_++;
      workload_names_[workload->serial] = change.name;
    } else {
      segments_[workload->segment]->macs->forget(place);
    }
    workload->digest = change.digest;
    workload->segment = segment;
    workload->trunk = change.trunk;
    workload->epoch = next_epoch_++;
    workload->pinned_mac = change.mac.has_value();
    if (change.mac) {
      workload->mac = *parse_mac(*change.mac);
      segments_[segment]->macs->pin(workload->mac, place);
    }
    workload->any_address = !change.addresses.has_value();
    workload->addresses = change.addresses ? make_set(*change.addresses) : AddressSet();
    workloads_[place] = workload;
    workload_places_[change.name] = place;
  }
}

// Workloads that refer to a rule which is another object now get it, and a new epoch.
void Publisher::renew_indexes() {
  if (changed_rules_.empty()) return;
  auto renew = [&](IndexTable& table) {
    bool changed = false;
    for (auto& rule : table.rules)
      if (const auto& now = rules_.at(rule->key).rule; now != rule) {
        rule = now;
        changed = true;
      }
    return changed;
  };
  auto refers = [&](const IndexTable& table) {
    return std::any_of(table.rules.begin(), table.rules.end(),
                       [&](const auto& rule) { return changed_rules_.contains(rule->key); });
  };
  for (auto& place : workloads_) {
    if (!place || (!refers(place->in) && !refers(place->out))) continue;
    auto workload = std::make_shared<Workload>(*place);
    renew(workload->in);
    renew(workload->out);
    workload->epoch = next_epoch_++;
    place = workload;
  }
}

IndexTable Publisher::make_index(const IndexChangeTable& keys) const {
  IndexTable table;
  for (size_t category = 0; category < kCategories; ++category) {
    for (const std::string& key : keys[category]) table.rules.push_back(rules_.at(key).rule);
    table.category_end[category] = static_cast<uint32_t>(table.rules.size());
  }
  return table;
}

void Publisher::apply_indexes(const Delta& delta) {
  for (const IndexChange& change : delta.set_indexes) {
    auto& place = workloads_[workload_places_.at(change.workload)];
    auto workload = std::make_shared<Workload>(*place);
    workload->index_digest = change.digest;
    workload->in = make_index(change.in);
    workload->out = make_index(change.out);
    workload->epoch = next_epoch_++;
    place = workload;
  }
}

void Publisher::apply_removals(const Delta& delta) {
  for (const std::string& name : delta.remove_workloads) {
    if (auto last = unbind(name)) released_[name] = std::move(last);
    uint32_t place = workload_places_.at(name);
    forget_.emplace_back(segments_[workloads_[place]->segment]->macs, place);
    leaving_.push_back(place);
    workload_names_.erase(workloads_[place]->serial);
    workloads_[place] = nullptr;
    workload_places_.erase(name);
  }
  for (const std::string& key : delta.remove_rules) {
    rule_keys_.erase(rules_.at(key).rule->serial);
    rules_.erase(key);
  }
  for (const std::string& name : delta.remove_address_sets) sets_.erase(name);
  for (const std::string& name : delta.remove_segments) {
    segments_[segment_places_.at(name)] = nullptr;
    segment_places_.erase(name);
  }
}

void Publisher::bump_all_epochs() {
  for (auto& place : workloads_) {
    if (!place) continue;
    auto workload = std::make_shared<Workload>(*place);
    workload->epoch = next_epoch_++;
    place = workload;
  }
}

Refusal Publisher::bind(const std::string& name, std::shared_ptr<AttachedPort> attached) {
  auto known = workload_places_.find(name);
  if (known == workload_places_.end())
    return {"unknown-workload", "There is no workload '" + name + "' to attach: publish it first."};
  auto workload = std::make_shared<Workload>(*workloads_[known->second]);
  if (workload->port != kNoPort) return {"already-attached", "Workload '" + name + "' is attached already."};
  const Segment& segment = *segments_[workload->segment];
  auto place = std::find(ports_.begin(), ports_.end(), attached);
  if (place != ports_.end()) {
    uint16_t port = static_cast<uint16_t>(place - ports_.begin());
    for (const auto& other : workloads_) {
      if (!other || other->port != port) continue;
      const Segment& theirs = *segments_[other->segment];
      if (!attached->trunk || (theirs.vlan[0] == segment.vlan[0] && theirs.vlan[1] == segment.vlan[1]))
        return {"device-taken", "Workload '" + name + "' cannot be attached to " + attached->device + ": workload '" +
                                    other->name + "' has it with the same VLAN. Give their segments different VLANs."};
    }
    workload->port = port;
  } else {
    uint32_t fresh = free_place(ports_);
    if (fresh >= kNoPort) return {"too-many-ports", "No room for another port: 65,535 are attached."};
    ports_[fresh] = std::move(attached);
    workload->port = static_cast<uint16_t>(fresh);
  }
  workloads_[known->second] = workload;
  return {};
}

std::shared_ptr<AttachedPort> Publisher::unbind(const std::string& name) {
  auto known = workload_places_.find(name);
  if (known == workload_places_.end()) {
    auto released = released_.extract(name);
    return released ? std::move(released.mapped()) : nullptr;
  }
  if (workloads_[known->second]->port == kNoPort) return nullptr;
  auto workload = std::make_shared<Workload>(*workloads_[known->second]);
  uint16_t port = workload->port;
  workload->port = kNoPort;
  workloads_[known->second] = workload;
  for (const auto& other : workloads_)
    if (other && other->port == port) return nullptr;
  return std::move(ports_[port]);
}

std::shared_ptr<AttachedPort> Publisher::find_trunk(const std::string& device) const {
  for (const auto& port : ports_)
    if (port && port->trunk && port->device == device) return port;
  return nullptr;
}

std::shared_ptr<const Generation> Publisher::build() {
  auto next = std::make_shared<Generation>();
  next->number = ++number_;
  next->default_action = default_action_;
  next->timeouts = timeouts_;
  next->workloads = workloads_;
  next->trackers = trackers_;
  next->ports.resize(ports_.size());
  for (size_t i = 0; i < ports_.size(); ++i) {
    next->ports[i].attached = ports_[i];
    next->ports[i].trunk = ports_[i] && ports_[i]->trunk;
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
    next->segments[i] = segment;
  }
  for (PortView& view : next->ports) {
    if (view.workload == kNoWorkload) continue;
    view.sender = next->workloads[view.workload].get();
    view.segment = next->segments[view.sender->segment].get();
  }
  return next;
}

void Publisher::settled() {
  for (auto& [macs, workload] : forget_) macs->forget(workload);
  forget_.clear();
  leaving_.clear();
}

const std::shared_ptr<const Workload>* Publisher::find_workload(const std::string& name) const {
  auto known = workload_places_.find(name);
  return known == workload_places_.end() ? nullptr : &workloads_[known->second];
}

Publisher::InventoryView Publisher::inventory() const {
  InventoryView view;
  if (published_) view.default_action = default_action_;
  for (const auto& [name, set] : sets_) view.address_sets[name] = set.digest;
  for (const auto& [key, rule] : rules_) view.rules.push_back(key);
  for (const auto& segment : segments_)
    if (segment) view.segments[segment->name] = segment->digest;
  for (const auto& workload : workloads_) {
    if (!workload) continue;
    view.workloads[workload->name] = workload->digest;
    if (!workload->index_digest.empty()) view.indexes[workload->name] = workload->index_digest;
  }
  return view;
}

std::string Publisher::rule_key(uint32_t serial) const {
  auto found = rule_keys_.find(serial);
  return found == rule_keys_.end() ? "" : found->second;
}

std::string Publisher::workload_name(uint32_t serial) const {
  auto found = workload_names_.find(serial);
  return found == workload_names_.end() ? "" : found->second;
}

}  // namespace headgate
