// A change of policy as control sends it (src/engine/messages.ts, deltaSchema). Texts are not yet checked:
// the publisher checks everything and refuses the whole delta with an error that says what and where.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tables/generation.h"

namespace headgate {

struct AddressSetChange {
  std::string name;
  std::string digest;
  std::vector<std::string> ranges;
};

// Of a set that is held: takes `remove` out of it and then puts `add` into it.
struct AddressSetEdit {
  std::string name;
  std::string digest;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

struct RuleChange {
  std::string key;
  std::optional<std::vector<std::string>> sources;  // names of address sets
  std::optional<std::vector<std::string>> destinations;
  std::optional<std::vector<ServiceMatch>> services;
  Action action = Action::kDrop;
  OnChange on_change = OnChange::kReevaluate;
  bool observe = false;
  bool log = false;
};

struct SegmentChange {
  std::string name;
  std::string digest;
  int vlan = 0;
  int inner_vlan = 0;
  std::string tracker;
};

struct WorkloadChange {
  std::string name;
  std::string digest;
  std::string segment;
  bool trunk = false;
  std::optional<std::string> mac;
  std::optional<std::vector<std::string>> addresses;
  Limits limits = {};
};

struct ScopeChange {
  std::string name;
  std::string digest;
  std::vector<std::string> workloads;
};

struct ScopeEdit {
  std::string name;
  std::string digest;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

struct EntryChange {
  std::string id;
  std::string digest;
  std::string rule;       // key
  uint32_t category = 0;  // below kCategories
  uint64_t order = 0;     // below 2^kCategoryShift
  bool in = false;
  bool out = false;
  std::string scope;
};

struct Delta {
  std::optional<uint64_t> base;  // the generation that it was made against
  std::optional<Action> default_action;
  std::optional<Timeouts> timeouts;
  std::optional<Limits> limits;
  std::vector<AddressSetChange> set_address_sets;
  std::vector<AddressSetEdit> edit_address_sets;
  std::vector<RuleChange> set_rules;
  std::vector<SegmentChange> set_segments;
  std::vector<WorkloadChange> set_workloads;
  std::vector<ScopeChange> set_scopes;
  std::vector<ScopeEdit> edit_scopes;
  std::vector<EntryChange> set_entries;
  std::vector<std::string> remove_address_sets;
  std::vector<std::string> remove_rules;
  std::vector<std::string> remove_segments;
  std::vector<std::string> remove_workloads;
  std::vector<std::string> remove_scopes;
  std::vector<std::string> remove_entries;
};

// A refusal: a code for programs and a sentence for people.
struct Refusal {
  std::string code;
  std::string message;
  explicit operator bool() const { return !code.empty(); }
};

}  // namespace headgate
