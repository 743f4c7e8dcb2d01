#include "tables/delta_names.h"

namespace headgate {
namespace {

template <class T, class Name>
Refusal read_list(const char* what, const std::vector<T>& list, Name name_of, DeltaNames::ByName<T>& out) {
  out.reserve(list.size());
  for (const T& item : list) {
    const std::string& name = item.*name_of;
    if (name.empty()) return invalid_delta(std::string(what) + " without a name.");
    if (!out.emplace(name, &item).second)
      return invalid_delta(std::string(what) + " " + quoted(name) + " is named twice in one change: name it once.");
  }
  return {};
}

template <class T>
Refusal read_removed(const char* what, const std::vector<std::string>& list, const DeltaNames::ByName<T>& set,
                     DeltaNames::Removed& out) {
  out.reserve(list.size());
  for (const std::string& name : list) {
    if (!out.insert(name).second)
      return invalid_delta(std::string(what) + " " + quoted(name) + " is removed twice in one change: name it once.");
    if (set.contains(name))
      return invalid_delta(std::string(what) + " " + quoted(name) +
                           " cannot be removed: the same change sets it. Do one of both.");
  }
  return {};
}

template <class Set, class Edit>
Refusal read_both(const char* what, const DeltaNames::ByName<Set>& set, const DeltaNames::ByName<Edit>& edits,
                  const DeltaNames::Removed& removed) {
  for (const auto& [name, edit] : edits)
    if (set.contains(name) || removed.contains(name))
      return invalid_delta(std::string(what) + " " + quoted(name) +
                           " cannot be edited: the same change sets or removes it. Do one of these.");
  return {};
}

}  // namespace

std::string quoted(std::string_view name) {
  return "'" + std::string(name.substr(0, 80)) + "'";
}

Refusal DeltaNames::read(const Delta& d) {
  Refusal r;
  (r = read_list("Address set", d.set_address_sets, &AddressSetChange::name, sets)) ||
      (r = read_list("Edit of address set", d.edit_address_sets, &AddressSetEdit::name, set_edits)) ||
      (r = read_list("Rule", d.set_rules, &RuleChange::key, rules)) ||
      (r = read_list("Segment", d.set_segments, &SegmentChange::name, segments)) ||
      (r = read_list("Workload", d.set_workloads, &WorkloadChange::name, workloads)) ||
      (r = read_list("Scope", d.set_scopes, &ScopeChange::name, scopes)) ||
      (r = read_list("Edit of scope", d.edit_scopes, &ScopeEdit::name, scope_edits)) ||
      (r = read_list("Entry", d.set_entries, &EntryChange::id, entries)) ||
      (r = read_list("Service portal", d.set_portals, &PortalChange::name, portals)) ||
      (r = read_list("Service tag", d.set_tags, &ServiceTagChange::name, tags)) ||
      (r = read_removed("Service portal", d.remove_portals, portals, removed_portals)) ||
      (r = read_removed("Service tag", d.remove_tags, tags, removed_tags)) ||
      (r = read_removed("Address set", d.remove_address_sets, sets, removed_sets)) ||
      (r = read_removed("Rule", d.remove_rules, rules, removed_rules)) ||
      (r = read_removed("Segment", d.remove_segments, segments, removed_segments)) ||
      (r = read_removed("Workload", d.remove_workloads, workloads, removed_workloads)) ||
      (r = read_removed("Scope", d.remove_scopes, scopes, removed_scopes)) ||
      (r = read_removed("Entry", d.remove_entries, entries, removed_entries)) ||
      (r = read_both("Address set", sets, set_edits, removed_sets)) ||
      (r = read_both("Scope", scopes, scope_edits, removed_scopes));
  return r;
}

}  // namespace headgate
