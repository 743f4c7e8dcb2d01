// Service portals and tags: the check of what control sends, and what the packet path gets of it. The table is made
// anew whole when one of them changes: it is small, and counters and health are kept by what stays.
#include <algorithm>
#include <functional>

#include "tables/delta_names.h"
#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

constexpr size_t kMostPortals = 4096;
constexpr size_t kMostLegs = 65'535;

bool is_ipv4_host(const std::string& text) {
  const auto parsed = parse_address(text);
  return parsed && text.find(':') == std::string::npos;
}

bool is_path(const std::string& path) {
  return !path.empty() && path.size() <= 256 && path[0] == '/' &&
         std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Refusal check_health(const PortalChange& portal) {
  const PortalChange::Health& h = portal.health;
  const std::string where = "Service portal " + quoted(portal.name) + ": its health check ";
  if (h.kind == ProbeKind::kNone) return {};
  if (!is_ipv4_host(h.address) || !is_ipv4_host(h.source)) return invalid_delta(where + "needs two IPv4 addresses.");
  if (!parse_mac(h.mac)) return invalid_delta(where + "needs a MAC to ask from.");
  if (h.kind != ProbeKind::kIcmp && !h.port) return invalid_delta(where + "needs a port.");
  if (h.kind == ProbeKind::kHttp && !is_path(h.path)) return invalid_delta(where + "needs a path.");
  if (h.interval < 10 || h.interval > 60'000 || h.failures < 1 || h.failures > 100)
    return invalid_delta(where + "has an interval or a number of failures out of range.");
  return {};
}

// Calls visit(leg) for every leg, the entry among them, until one is refused.
Refusal each_leg(const ServiceTagChange& tag, const std::function<Refusal(const LegChange&)>& visit) {
  if (tag.entry)
    if (Refusal r = visit(*tag.entry)) return r;
  for (const HopChange& hop : tag.hops)
    for (const LegChange& leg : hop.legs)
      if (Refusal r = visit(leg)) return r;
  return {};
}

std::string leg_name(const std::string& tag, size_t hop, const std::string& portal) {
  return tag + ' ' + std::to_string(hop) + ' ' + portal;
}

Probe probe_of(const PortalChange::Health& h) {
  Probe probe;
  probe.kind = h.kind;
  if (h.kind == ProbeKind::kNone) return probe;
  probe.address = *parse_address(h.address);
  probe.source = *parse_address(h.source);
  probe.mac = *parse_mac(h.mac);
  probe.port = h.port;
  probe.path = h.path;
  probe.key = h.key;
  probe.interval = h.interval;
  probe.failures = h.failures;
  return probe;
}

}  // namespace

Refusal Publisher::check_services(const Delta& delta, const DeltaNames& names) const {
  auto there = [](const auto& held, const auto& coming, const auto& removed, const std::string& name) {
    return !removed.contains(name) && (held.contains(name) || coming.contains(name));
  };
  for (const PortalChange& portal : delta.set_portals) {
    if (!there(workload_places_, names.workloads, names.removed_workloads, portal.workload))
      return invalid_delta("Service portal " + quoted(portal.name) + " is attached as workload " +
                           quoted(portal.workload) + ", which does not exist. Set it in the same change.");
    if (Refusal r = check_health(portal)) return r;
  }
  for (const std::string& name : delta.remove_portals)
    if (!portals_.contains(name))
      return invalid_delta("Service portal " + quoted(name) + " cannot be removed: it does not exist.");
  for (const std::string& name : delta.remove_tags)
    if (!tags_.contains(name))
      return invalid_delta("Service tag " + quoted(name) + " cannot be removed: it does not exist.");
  for (const auto& [name, portal] : portals_)
    if (names.removed_workloads.contains(portal.change.workload) && !names.removed_portals.contains(name) &&
        !names.portals.contains(name))
      return invalid_delta("Workload " + quoted(portal.change.workload) + " cannot be removed: service portal " +
                           quoted(name) + " is attached as it. Remove that too.");
  if (Refusal r = check_tags(delta, names)) return r;
  auto count = [](const auto& held, const auto& coming, const auto& removed) {
    size_t all = held.size() - removed.size();
    for (const auto& [name, change] : coming) all += !held.contains(std::string(name));
    return all;
  };
  if (count(portals_, names.portals, names.removed_portals) > kMostPortals)
    return {"table-full", "More than 4,096 service portals: remove some."};
  if (count(tags_, names.tags, names.removed_tags) >= kMostTags)
    return {"table-full", "More than 32,766 service tags: remove some."};
  return {};
}

// Every tag that will be there: those that come are checked whole, and with those that stay for what they share.
Refusal Publisher::check_tags(const Delta& delta, const DeltaNames& names) const {
  if (delta.set_tags.empty() && delta.set_portals.empty() && delta.remove_portals.empty() &&
      delta.remove_tags.empty() && delta.remove_segments.empty())
    return {};
  std::vector<const ServiceTagChange*> all;
  for (const auto& [name, held] : tags_)
    if (!names.removed_tags.contains(name) && !names.tags.contains(name)) all.push_back(&held.change);
  for (const ServiceTagChange& tag : delta.set_tags) all.push_back(&tag);
  std::unordered_map<std::string, const ServiceTagChange*> keys;
  size_t legs = 0;
  for (const ServiceTagChange* tag : all) {
    const std::string where = "Service tag " + quoted(tag->name);
    if (tag->entry.has_value() == tag->segment.has_value() || (tag->entry && tag->tracker.empty()))
      return invalid_delta(where + " needs either a segment, or an entry and a tracker.");
    if (tag->segment && (names.removed_segments.contains(*tag->segment) ||
                         (!segment_places_.contains(*tag->segment) && !names.segments.contains(*tag->segment))))
      return invalid_delta(where + " is for segment " + quoted(*tag->segment) +
                           ", which does not exist or goes in the same change.");
    if (tag->hops.empty() || tag->hops.size() > kMostHops)
      return invalid_delta(where + " has no hop, or more than " + std::to_string(kMostHops) + ".");
    for (const HopChange& hop : tag->hops)
      if (hop.legs.empty() || hop.legs.size() > kMostLegsOfHop)
        return invalid_delta(where + " has a hop with no portal, or more than " + std::to_string(kMostLegsOfHop) + ".");
    const Refusal refusal = each_leg(*tag, [&](const LegChange& leg) -> Refusal {
      ++legs;
      const auto coming = names.portals.find(leg.portal);
      const auto held = portals_.find(leg.portal);
      if (names.removed_portals.contains(leg.portal) || (coming == names.portals.end() && held == portals_.end()))
        return invalid_delta(where + " goes through service portal " + quoted(leg.portal) +
                             ", which does not exist or goes in the same change.");
      if (!leg.key) return invalid_delta(where + " has a leg without a key.");
      const std::string& workload =
          coming != names.portals.end() ? coming->second->workload : held->second.change.workload;
      const auto [other, alone] = keys.emplace(workload + ' ' + std::to_string(leg.key), tag);
      if (!alone)
        return invalid_delta(where + " uses key " + std::to_string(leg.key) + " at workload " + quoted(workload) +
                             ", as tag " + quoted(other->second->name) + " does. Give it another.");
      return {};
    });
    if (refusal) return refusal;
  }
  if (legs > kMostLegs) return {"table-full", "More than 65,535 places of portals in service tags: remove some."};
  return {};
}

// Whether entries name tags as they should; called for each entry of the delta, and for those that stay.
Refusal Publisher::check_insertions(const Delta& delta, const DeltaNames& names) const {
  for (const EntryChange& entry : delta.set_entries) {
    const std::string where = "Entry " + quoted(entry.id);
    if ((entry.category == kInsertions) != !entry.tag.empty())
      return invalid_delta(where + ": entries that choose a service tag, and no others, are of category " +
                           std::to_string(kInsertions) + ".");
    if (entry.tag.empty()) continue;
    if (names.removed_tags.contains(entry.tag) || (!tags_.contains(entry.tag) && !names.tags.contains(entry.tag)))
      return invalid_delta(where + " refers to service tag " + quoted(entry.tag) +
                           ", which does not exist or goes in the same change.");
  }
  if (delta.remove_tags.empty()) return {};
  for (const auto& [id, held] : entries_)
    if (!held.tag.empty() && names.removed_tags.contains(held.tag) && !names.entries.contains(id) &&
        !names.removed_entries.contains(id))
      return invalid_delta("Service tag " + quoted(held.tag) + " cannot be removed: entry " + quoted(id) +
                           " refers to it. Remove that too.");
  return {};
}

std::vector<bool> Publisher::known_tags() const {
  std::vector<bool> known(UINT16_MAX + 1);
  for (const auto& [name, tag] : tags_) known[tag.place & UINT16_MAX] = true;
  names_.each_former(Names::Kind::kTag,
                     [&](const std::string&, Names::Numbers numbers) { known[numbers.place & UINT16_MAX] = true; });
  return known;
}

// Those of an engine before, or new ones that the next engine will find. Places begin at `first`.
Names::Numbers Publisher::numbers_of(Names::Kind kind, const std::string& name, Places& places, uint32_t first) {
  Names::Numbers numbers;
  if (names_.claim(kind, name, numbers)) return numbers;
  numbers = {places.take() + first, names_.take_serial(Names::Kind::kTag)};
  names_.note(kind, name, numbers);
  return numbers;
}

void Publisher::apply_services(const Delta& delta) {
  if (!delta.set_portals.empty() || !delta.remove_portals.empty()) topology_ = nullptr;
  if (!delta.set_portals.empty() || !delta.remove_portals.empty() || !delta.set_tags.empty() ||
      !delta.remove_tags.empty())
    services_stale_ = true;
  for (const PortalChange& change : delta.set_portals) {
    auto [at, fresh] = portals_.try_emplace(change.name);
    HeldPortal& held = at->second;
    if (fresh) held.place = portal_numbers_.take();
    // What was found out with another check says nothing about this one.
    if (fresh || probe_of(held.change.health) != probe_of(change.health) || held.change.workload != change.workload)
      held.health = std::make_shared<PortalHealth>();
    held.change = change;
  }
  for (const ServiceTagChange& change : delta.set_tags) {
    auto [at, fresh] = tags_.try_emplace(change.name);
    if (fresh) {
      const Names::Numbers numbers = numbers_of(Names::Kind::kTag, change.name, tag_numbers_, 1);
      at->second.place = numbers.place;
      at->second.serial = numbers.serial;
    }
    at->second.change = change;
  }
}

// After entries: none refers to what goes.
void Publisher::remove_services(const Delta& delta) {
  for (const std::string& name : delta.remove_tags) {
    auto tag = tags_.find(name);
    tag_numbers_.give_back(tag->second.place - 1);
    names_.forget(Names::Kind::kTag, name);
    tags_.erase(tag);
  }
  for (const std::string& name : delta.remove_portals) {
    auto portal = portals_.find(name);
    portal_numbers_.give_back(portal->second.place);
    portals_.erase(portal);
  }
}

Leg Publisher::make_leg(const std::string& tag, size_t hop, const LegChange& change,
                        std::map<std::string, HeldLeg>& kept) {
  const std::string name = leg_name(tag, hop, change.portal);
  auto known = legs_.extract(name);
  HeldLeg held;
  if (known) {
    held = known.mapped();
  } else {
    const Names::Numbers numbers = numbers_of(Names::Kind::kLeg, name, leg_numbers_, 0);
    held = {numbers.place, numbers.serial};
  }
  kept.emplace(name, held);
  return {static_cast<uint16_t>(portals_.at(change.portal).place), static_cast<uint16_t>(held.place), held.serial,
          change.key};
}

void Publisher::make_services() {
  auto next = std::make_shared<Services>();
  std::map<std::string, HeldLeg> kept;
  for (const auto& [name, held] : portals_) {
    next->portals.resize(std::max<size_t>(next->portals.size(), held.place + 1));
    auto portal = std::make_shared<Portal>();
    portal->name = name;
    portal->digest = held.change.digest;
    portal->workload = workload_places_.at(held.change.workload);
    portal->nsh = held.change.nsh;
    portal->by_record = held.change.by_record;
    portal->probe = probe_of(held.change.health);
    portal->health = held.health;
    next->portals_of[portal->workload].push_back(static_cast<uint16_t>(held.place));
    next->portals[held.place] = std::move(portal);
  }
  for (const auto& [name, held] : tags_) {
    next->tags.resize(std::max<size_t>(next->tags.size(), held.place + 1));
    auto tag = std::make_shared<ServiceTag>();
    tag->name = name;
    tag->digest = held.change.digest;
    tag->serial = held.serial;
    if (held.change.segment) {
      tag->segment = segment_places_.at(*held.change.segment);
      tag->tracker = segments_[tag->segment]->tracker;
    } else {
      tag->tracker = tracker_number(held.change.tracker);
      tag->entry = std::make_unique<Leg>(make_leg(name, kEntryHop, *held.change.entry, kept));
    }
    for (size_t hop = 0; hop < held.change.hops.size(); ++hop) {
      tag->hops.push_back({held.change.hops[hop].open, {}});
      for (const LegChange& leg : held.change.hops[hop].legs)
        tag->hops[hop].legs.push_back(make_leg(name, hop, leg, kept));
    }
    auto arrive = [&](const Leg& leg, uint8_t hop) {
      const uint32_t workload = next->portals[leg.portal]->workload;
      next->arrivals[Services::port_key(workload, leg.key)] = {static_cast<uint16_t>(held.place), hop, &leg};
      next->legs = std::max<size_t>(next->legs, leg.place + size_t{1});
    };
    if (tag->entry) arrive(*tag->entry, kEntryHop);
    for (size_t hop = 0; hop < tag->hops.size(); ++hop)
      for (const Leg& leg : tag->hops[hop].legs) arrive(leg, static_cast<uint8_t>(hop));
    next->tags[held.place] = std::move(tag);
  }
  for (const auto& [name, leg] : legs_) {
    leg_numbers_.give_back(leg.place);
    names_.forget(Names::Kind::kLeg, name);
  }
  legs_ = std::move(kept);
  services_ = portals_.empty() && tags_.empty() ? nullptr : std::move(next);
  services_stale_ = false;
}

}  // namespace headgate
