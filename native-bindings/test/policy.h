// Policies for tests, in the engine's own terms.
#pragma once

#include <map>

#include "tables/delta.h"
#include "test/frames.h"

namespace headgate::test {

inline RuleChange rule(const std::string& key, Action action) {
  RuleChange rule;
  rule.key = key;
  rule.action = action;
  return rule;
}

inline WorkloadChange workload(const std::string& name, const std::optional<Mac>& mac = {},
                               std::optional<std::vector<std::string>> addresses = {},
                               const std::string& segment = "lan") {
  char text[18] = "";
  if (mac)
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", (*mac)[0], (*mac)[1], (*mac)[2], (*mac)[3], (*mac)[4],
             (*mac)[5]);
  WorkloadChange change{name, "1", segment, false, {}, std::move(addresses)};
  if (mac) change.mac = text;
  return change;
}

// An entry of the application category for both directions.
inline EntryChange entry(const std::string& id, const std::string& rule, uint64_t order, const std::string& scope) {
  return {id, "1", rule, 3, order, true, true, scope};
}

using RuleKeys = std::vector<std::vector<std::string>>;  // by category

// Index tables of single workloads, as lists of rules: each workload gets a scope of its own, and an entry, called
// WORKLOAD/DIRECTION/RULE/COUNT, for each place in its lists.
class Tables {
 public:
  // Adds to the delta what makes these the workload's tables.
  void set(Delta& delta, const std::string& workload, const RuleKeys& in, const RuleKeys& out) {
    auto [known, fresh] = ids_.try_emplace(workload);
    if (fresh) delta.set_scopes.push_back({workload, "1", {workload}});
    std::map<std::string, int> now;
    for (bool to_it : {true, false}) {
      const RuleKeys& table = to_it ? in : out;
      for (uint32_t category = 0; category < table.size(); ++category)
        for (const std::string& key : table[category]) {
          const std::string stem = workload + (to_it ? "/in/" : "/out/") + key + "/";
          const std::string id = stem + std::to_string(now[stem]++);
          delta.set_entries.push_back({id, "1", key, category, next_order_++, to_it, !to_it, workload});
        }
    }
    for (const std::string& id : known->second) {
      const auto same = [&](const EntryChange& e) { return e.id == id; };
      if (std::none_of(delta.set_entries.begin(), delta.set_entries.end(), same)) delta.remove_entries.push_back(id);
    }
    known->second.clear();
    for (const EntryChange& e : delta.set_entries)
      if (e.scope == workload) known->second.push_back(e.id);
  }

  // The rule of an entry that was made so; "" of "", the default action.
  static std::string rule_of(const std::string& id) {
    if (id.empty()) return "";
    const size_t begin = id.find('/', id.find('/') + 1) + 1;
    return id.substr(begin, id.rfind('/') - begin);
  }

 private:
  std::map<std::string, std::vector<std::string>> ids_;  // by workload
  uint64_t next_order_ = 0;
};

}  // namespace headgate::test
