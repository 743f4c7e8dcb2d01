// What a delta sets and removes, found by name: made once, for all checks of it.
#pragma once

#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "tables/delta.h"

namespace headgate {

class DeltaNames {
 public:
  template <class T>
  using ByName = std::unordered_map<std::string_view, const T*>;
  using Removed = std::unordered_set<std::string_view>;

  // Refuses what would make the outcome depend on the order: a name twice, or both set and removed.
  Refusal read(const Delta& delta);

  ByName<AddressSetChange> sets;
  ByName<AddressSetEdit> set_edits;
  ByName<RuleChange> rules;
  ByName<SegmentChange> segments;
  ByName<WorkloadChange> workloads;
  ByName<ScopeChange> scopes;
  ByName<ScopeEdit> scope_edits;
  ByName<EntryChange> entries;
  ByName<PortalChange> portals;
  ByName<ServiceTagChange> tags;
  Removed removed_sets, removed_rules, removed_segments, removed_workloads, removed_scopes, removed_entries,
      removed_portals, removed_tags;
};

// `name` in quotes, cut where it is too long to read.
std::string quoted(std::string_view name);

inline Refusal invalid_delta(std::string message) {
  return {"invalid-delta", std::move(message)};
}

}  // namespace headgate
