// The gate for what control sends. After check() nothing in a delta can fail: every name that is referred to exists,
// every text parses, every number is in range, and nothing that stays refers to what is removed. Here for address sets,
// rules, scopes and entries; for workloads and segments in publisher_check_places.cc.
#include <algorithm>

#include "tables/delta_names.h"
#include "tables/publisher.h"

namespace headgate {
namespace {

Refusal check_ranges(const std::vector<std::string>& ranges, const std::string& where) {
  for (const std::string& text : ranges)
    if (!parse_address_range(text))
      return invalid_delta(where + ": " + quoted(text) + " is no address, prefix or range.");
  return {};
}

bool ports_ok(const std::vector<PortRange>& ranges) {
  return std::all_of(ranges.begin(), ranges.end(), [](PortRange r) { return r.first <= r.last; });
}

bool services_ok(const std::vector<ServiceMatch>& services) {
  return std::all_of(services.begin(), services.end(), [](const ServiceMatch& s) {
    return s.protocol <= 255 && s.icmp_type <= 255 && s.icmp_code <= 255 && ports_ok(s.ports) &&
           ports_ok(s.source_ports);
  });
}

// Refused where something that is held is missing: "WHERE refers to WHAT 'NAME', which ...".
Refusal missing(const std::string& where, const char* what, const std::string& name, bool removed) {
  return invalid_delta(where + " refers to " + what + " " + quoted(name) +
                       (removed ? ", which the same change removes. Keep it, or remove what refers to it."
                                : ", which does not exist. Set it in the same change."));
}

Refusal refuse_removal(const char* what, const std::string& name, const std::string& why) {
  return invalid_delta(std::string(what) + " " + quoted(name) + " cannot be removed: " + why);
}

constexpr const char* kNotThere = "it does not exist.";

}  // namespace

Refusal Publisher::check(const Delta& delta) const {
  if (delta.base && *delta.base != number_)
    return {"stale", "The change was made against generation " + std::to_string(*delta.base) + ", but generation " +
                         std::to_string(number_) + " is in force: ask for the inventory and make the change anew."};
  DeltaNames names;
  if (Refusal refusal = names.read(delta)) return refusal;
  for (auto part :
       {&Publisher::check_sets, &Publisher::check_rules, &Publisher::check_segments, &Publisher::check_workloads,
        &Publisher::check_macs, &Publisher::check_profiles, &Publisher::check_scopes, &Publisher::check_entries,
        &Publisher::check_users, &Publisher::check_leavers, &Publisher::check_services, &Publisher::check_insertions,
        &Publisher::check_slots})
    if (Refusal refusal = (this->*part)(delta, names)) return refusal;
  return {};
}

Refusal Publisher::check_sets(const Delta& delta, const DeltaNames&) const {
  for (const AddressSetChange& set : delta.set_address_sets)
    if (Refusal r = check_ranges(set.ranges, "Address set " + quoted(set.name))) return r;
  for (const AddressSetEdit& edit : delta.edit_address_sets) {
    const std::string where = "Address set " + quoted(edit.name);
    if (!sets_.contains(edit.name)) return invalid_delta(where + " cannot be edited: it does not exist. Set it whole.");
    for (const auto* ranges : {&edit.add, &edit.remove})
      if (Refusal r = check_ranges(*ranges, where)) return r;
  }
  return {};
}

Refusal Publisher::check_rules(const Delta& delta, const DeltaNames& names) const {
  for (const RuleChange& rule : delta.set_rules) {
    for (const auto* sets : {&rule.sources, &rule.destinations}) {
      if (!*sets) continue;
      for (const std::string& set : **sets) {
        const bool removed = names.removed_sets.contains(set);
        if (removed || (!sets_.contains(set) && !names.sets.contains(set)))
          return missing("Rule " + quoted(rule.key), "address set", set, removed);
      }
    }
    if (rule.services && !services_ok(*rule.services))
      return invalid_delta("Rule " + quoted(rule.key) +
                           " has a service with a number out of range or a reversed port range.");
  }
  return {};
}

Refusal Publisher::check_scopes(const Delta& delta, const DeltaNames& names) const {
  auto check_members = [&](const std::string& scope, const std::vector<std::string>& workloads) -> Refusal {
    for (const std::string& name : workloads) {
      const bool removed = names.removed_workloads.contains(name);
      if (removed || (!workload_places_.contains(name) && !names.workloads.contains(name)))
        return missing("Scope " + quoted(scope), "workload", name, removed);
    }
    return {};
  };
  for (const ScopeChange& scope : delta.set_scopes)
    if (Refusal r = check_members(scope.name, scope.workloads)) return r;
  for (const ScopeEdit& edit : delta.edit_scopes) {
    const std::string where = "Scope " + quoted(edit.name);
    if (!scopes_.contains(edit.name))
      return invalid_delta(where + " cannot be edited: it does not exist. Set it whole.");
    if (Refusal r = check_members(edit.name, edit.add)) return r;
    const std::unordered_set<std::string_view> added(edit.add.begin(), edit.add.end());
    for (const std::string& name : edit.remove) {
      if (!workload_places_.contains(name)) return missing(where, "workload", name, false);
      if (added.contains(name))
        return invalid_delta(where + ": workload " + quoted(name) + " is both added and removed. Do one of both.");
    }
  }
  return {};
}

Refusal Publisher::check_profiles(const Delta& delta, const DeltaNames& names) const {
  if (!delta.profiles) return {};
  std::unordered_set<std::string_view> wanted;
  for (const ProfileChange& profile : *delta.profiles)
    if (profile.name.empty() || !wanted.insert(profile.name).second)
      return invalid_delta("Profile " + quoted(profile.name) + " has no name, or one that another has.");
  if (wanted.size() >= kProfiles)
    return {"table-full", "There can be " + std::to_string(kProfiles - 1) + " profiles beside the host's, and " +
                              std::to_string(wanted.size()) +
                              " are asked for. Have sections agree on their tracking and timeouts."};
  for (uint8_t i = 1; i < kProfiles; ++i) {
    const HeldProfile& held = profiles_[i];
    if (held.name.empty() || wanted.contains(held.name)) continue;
    size_t leaving = 0;
    const auto uses = [&](const std::string& id) {
      const auto entry = entries_.find(id);
      return entry != entries_.end() && entry->second.entry->profile == i;
    };
    for (const auto& [id, change] : names.entries) leaving += uses(std::string(id));
    for (const std::string& id : delta.remove_entries) leaving += uses(id);
    if (leaving < held.entries) return refuse_removal("Profile", held.name, "entries refer to it. Remove those too.");
  }
  return {};
}

Refusal Publisher::check_entries(const Delta& delta, const DeltaNames& names) const {
  std::unordered_map<uint64_t, const EntryChange*> orders;
  orders.reserve(delta.set_entries.size());
  for (const EntryChange& entry : delta.set_entries) {
    const std::string where = "Entry " + quoted(entry.id);
    if (entry.category > kInsertions || entry.order >> kCategoryShift)
      return invalid_delta(where + " has a category or an order out of range.");
    if (!entry.in && !entry.out) return invalid_delta(where + " is for no direction.");
    bool removed = names.removed_rules.contains(entry.rule);
    if (removed || (!rules_.contains(entry.rule) && !names.rules.contains(entry.rule)))
      return missing(where, "rule", entry.rule, removed);
    removed = names.removed_scopes.contains(entry.scope);
    if (removed || (!scopes_.contains(entry.scope) && !names.scopes.contains(entry.scope)))
      return missing(where, "scope", entry.scope, removed);
    const auto named = [&](const ProfileChange& p) { return p.name == entry.profile; };
    const bool known = entry.profile.empty() || (delta.profiles ? std::ranges::any_of(*delta.profiles, named)
                                                                : find_profile(entry.profile) != 0);
    if (!known) return missing(where, "profile", entry.profile, false);
    const uint64_t order = uint64_t{entry.category} << kCategoryShift | entry.order;
    const auto [coming, alone] = orders.emplace(order, &entry);
    const std::string* other = alone ? nullptr : &coming->second->id;
    if (auto held = orders_.find(order); alone && held != orders_.end())
      if (const std::string& id = held->second->entry->id;
          !names.entries.contains(id) && !names.removed_entries.contains(id))
        other = &id;
    if (other)
      return invalid_delta(where + " has the same order as entry " + quoted(*other) + ": give it one of its own.");
  }
  return {};
}

// What is removed exists, and nothing that stays refers to it.
Refusal Publisher::check_users(const Delta& delta, const DeltaNames& names) const {
  for (const std::string& id : delta.remove_entries)
    if (!entries_.contains(id)) return refuse_removal("Entry", id, kNotThere);
  // What is set anew says itself, in check_entries, whether it refers to what goes.
  auto stays = [&](const IndexEntry& entry) {
    return !names.removed_entries.contains(entry.id) && !names.entries.contains(entry.id);
  };
  for (const std::string& name : delta.remove_scopes) {
    auto scope = scopes_.find(name);
    if (scope == scopes_.end()) return refuse_removal("Scope", name, kNotThere);
    for (const IndexEntry* entry : scope->second.entries)
      if (stays(*entry))
        return refuse_removal("Scope", name, "entry " + quoted(entry->id) + " applies to it. Remove that too.");
  }
  for (const std::string& key : delta.remove_rules) {
    auto rule = rules_.find(key);
    if (rule == rules_.end()) return refuse_removal("Rule", key, kNotThere);
    for (const HeldEntry* held : rule->second.entries)
      if (stays(*held->entry))
        return refuse_removal("Rule", key, "entry " + quoted(held->entry->id) + " refers to it. Remove that too.");
  }
  for (const std::string& name : delta.remove_address_sets) {
    auto set = sets_.find(name);
    if (set == sets_.end()) return refuse_removal("Address set", name, kNotThere);
    for (const HeldRule* held : set->second.rules)
      if (const std::string& key = held->rule->key; !names.removed_rules.contains(key) && !names.rules.contains(key))
        return refuse_removal("Address set", name, "rule " + quoted(key) + " refers to it. Remove that too.");
  }
  return {};
}

Refusal Publisher::check_slots(const Delta& delta, const DeltaNames& names) const {
  std::unordered_map<std::string_view, size_t> coming;
  for (const RuleChange& change : delta.set_rules) {
    Rule rule;
    rule.services = change.services;
    coming[change.key] = Classifier::slots_of(rule);
  }
  size_t needed = slots_;
  for (const std::string& id : delta.remove_entries) needed -= entries_.at(id).rule->slots;
  for (const EntryChange& change : delta.set_entries) {
    if (auto held = entries_.find(change.id); held != entries_.end()) needed -= held->second.rule->slots;
    auto rule = coming.find(change.rule);
    needed += rule != coming.end() ? rule->second : rules_.at(change.rule).slots;
  }
  for (const auto& [key, slots] : coming) {
    auto held = rules_.find(std::string(key));
    if (held == rules_.end() || held->second.slots == slots) continue;
    for (const HeldEntry* user : held->second.entries)
      if (const std::string& id = user->entry->id; !names.entries.contains(id) && !names.removed_entries.contains(id))
        needed += slots - held->second.slots;
  }
  if (needed <= most_slots_) return {};
  return {"table-full",
          "The rules would take " + std::to_string(needed) + " slots of the lookup, which has " +
              std::to_string(most_slots_) + ": " + std::to_string(needed - most_slots_) +
              " have to go. A rule takes one at each place where it stands, or one for each different "
              "list of source ports among its services. Remove rules, or raise spec.rules in the host file."};
}

}  // namespace headgate
