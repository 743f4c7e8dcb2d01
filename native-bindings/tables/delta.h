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
};

using IndexChangeTable = std::vector<std::vector<std::string>>;  // rule keys by category

struct IndexChange {
  std::string workload;
  std::string digest;
  IndexChangeTable in;
  IndexChangeTable out;
};

struct Delta {
  std::optional<Action> default_action;
  std::optional<Timeouts> timeouts;
  std::vector<AddressSetChange> set_address_sets;
  std::vector<RuleChange> set_rules;
  std::vector<SegmentChange> set_segments;
  std::vector<WorkloadChange> set_workloads;
  std::vector<IndexChange> set_indexes;
  std::vector<std::string> remove_address_sets;
  std::vector<std::string> remove_rules;
  std::vector<std::string> remove_segments;
  std::vector<std::string> remove_workloads;
};

// A refusal: a code for programs and a sentence for people.
struct Refusal {
  std::string code;
  std::string message;
  explicit operator bool() const { return !code.empty(); }
};

}  // namespace headgate
