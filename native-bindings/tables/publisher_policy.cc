// What the publisher holds as a change, for another publisher that is to hold the same. Segments, workloads, portals
// and tags are not in it: they are few and rich in fields, and the engine's JavaScript has them as control sent them
// (src/engine/held-policy.ts).
#include <algorithm>

#include "tables/publisher.h"
#include "tables/text.h"

namespace headgate {
namespace {

std::vector<std::string> texts_of(const AddressSet& addresses) {
  std::vector<std::string> texts;
  for (const AddressRange& range : addresses.ranges())
    texts.push_back(format_address(range.first) + "-" + format_address(range.last));
  return texts;
}

}  // namespace

Delta Publisher::policy() const {
  Delta delta;
  delta.default_action = default_action_;
  delta.mode = host_profile_.mode;
  delta.timeouts = host_profile_.timeouts;
  delta.profiles.emplace();
  for (const HeldProfile& held : profiles_)
    if (!held.name.empty()) delta.profiles->push_back(held.change);
  delta.limits = limits_;
  std::unordered_map<uint32_t, std::string> set_names;
  for (const auto& [name, set] : sets_) {
    delta.set_address_sets.push_back({name, set.digest, texts_of(set.addresses)});
    set_names[set.number] = name;
  }
  const auto names_of = [&](const std::optional<std::vector<uint32_t>>& numbers) {
    std::optional<std::vector<std::string>> names;
    if (!numbers) return names;
    names.emplace();
    for (const uint32_t number : *numbers) names->push_back(set_names.at(number));
    return names;
  };
  for (const auto& [key, held] : rules_) {
    const Rule& rule = *held.rule;
    delta.set_rules.push_back({key, names_of(rule.sources), names_of(rule.destinations), rule.services, rule.action,
                               rule.on_change, rule.observe, rule.log, rule.helper});
  }
  for (const auto& [name, scope] : scopes_) {
    ScopeChange change{name, scope.digest, {}};
    for (const uint32_t member : scope.members) change.workloads.push_back(workloads_[member]->name);
    delta.set_scopes.push_back(std::move(change));
  }
  constexpr uint64_t kOrder = (uint64_t{1} << kCategoryShift) - 1;
  for (const auto& [id, held] : entries_) {
    const IndexEntry& entry = *held.entry;
    delta.set_entries.push_back({id, held.digest, entry.rule->key, static_cast<uint32_t>(entry.order >> kCategoryShift),
                                 entry.order & kOrder, entry.in, entry.out, held.scope->name,
                                 profiles_[entry.profile].name, held.tag});
  }
  return delta;
}

Publisher::Numbering Publisher::numbering() const {
  Numbering numbering{number_, {}};
  for (const auto& [name, place] : workload_places_) numbering.epochs[name] = epochs_[place];
  return numbering;
}

void Publisher::continue_as(const Numbering& numbering) {
  number_ = numbering.number;
  for (const auto& [name, epoch] : numbering.epochs)
    if (const uint32_t place = find_place(name); place != kNoWorkload) epochs_[place] = epoch;
  epochs_built_ = nullptr;
}

}  // namespace headgate
