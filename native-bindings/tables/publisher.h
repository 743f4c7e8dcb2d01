// Holds the policy as control has sent it and builds generations from it. Runs off the packet threads, on one thread.
//
// A delta is first checked as a whole against what would be there after it; only then is anything changed, and from
// there on nothing can fail: refused whole or applied whole. Places (slots) of rules, workloads, segments and ports are
// the publisher's own; control knows names and digests only.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "tables/delta.h"
#include "tables/generation.h"

namespace headgate {

class Publisher {
 public:
  // Checks and applies; on a refusal nothing has changed. `build` gives the generation to take over.
  Refusal apply(const Delta& delta);

  // Joins a workload to a device that was opened for it. A trunk is opened once and joined by several workloads.
  Refusal bind(const std::string& workload, std::shared_ptr<AttachedPort> attached);
  // Takes the workload off its device; returns the device when nobody is left on it. For a workload that the last
  // delta removed it returns the device that it had.
  std::shared_ptr<AttachedPort> unbind(const std::string& workload);
  // The trunk that is open on that device, if any.
  std::shared_ptr<AttachedPort> find_trunk(const std::string& device) const;

  std::shared_ptr<const Generation> build();
  // To be called when every worker has taken over the built generation: forgets the MACs of workloads that left.
  void settled();

  uint64_t number() const { return number_; }
  const std::shared_ptr<const Workload>* find_workload(const std::string& name) const;
  bool published() const { return published_; }

  struct InventoryView {
    std::optional<Action> default_action;
    std::map<std::string, std::string> address_sets, segments, workloads, indexes;
    std::vector<std::string> rules;
  };
  InventoryView inventory() const;

  // For reports: what a serial in a hit counter stands for; empty or null when it is gone.
  std::string rule_key(uint32_t serial) const;
  std::string workload_name(uint32_t serial) const;

 private:
  struct NamedSet {
    std::string digest;
    std::shared_ptr<const AddressSet> set;
  };
  struct StoredRule {
    RuleChange change;
    std::shared_ptr<const Rule> rule;
  };

  Refusal check(const Delta& delta) const;
  Refusal check_sets(const Delta& delta) const;
  Refusal check_rules(const Delta& delta) const;
  Refusal check_segments(const Delta& delta) const;
  Refusal check_workloads(const Delta& delta) const;
  Refusal check_indexes(const Delta& delta) const;
  Refusal check_removals(const Delta& delta) const;
  void apply_sets(const Delta& delta);
  void apply_rules(const Delta& delta);
  void apply_segments(const Delta& delta);
  void apply_workloads(const Delta& delta);
  void apply_indexes(const Delta& delta);
  void apply_removals(const Delta& delta);
  void renew_indexes();
  void bump_all_epochs();
  std::shared_ptr<const Rule> make_rule(const RuleChange& change, uint32_t serial) const;
  IndexTable make_index(const IndexChangeTable& keys) const;

  bool published_ = false;
  uint64_t number_ = 0;
  uint32_t next_rule_serial_ = 1;
  uint32_t next_workload_serial_ = 1;
  uint32_t next_epoch_ = 1;
  Action default_action_ = Action::kDrop;
  Timeouts timeouts_;
  std::unordered_map<std::string, NamedSet> sets_;
  std::unordered_map<std::string, StoredRule> rules_;
  std::unordered_map<uint32_t, std::string> rule_keys_;       // by serial
  std::unordered_map<uint32_t, std::string> workload_names_;  // by serial
  std::unordered_map<std::string, uint32_t> segment_places_;
  std::unordered_map<std::string, uint32_t> workload_places_;
  std::vector<std::shared_ptr<const Workload>> workloads_;
  std::vector<std::shared_ptr<const Segment>> segments_;
  std::vector<std::shared_ptr<AttachedPort>> ports_;
  std::unordered_map<std::string, std::shared_ptr<AttachedPort>> released_;  // of workloads that the last delta removed
  std::vector<std::string> trackers_;
  std::vector<uint32_t> leaving_;  // places of workloads that left and are not yet settled
  std::vector<std::pair<std::shared_ptr<MacTable>, uint32_t>> forget_;
  std::unordered_set<std::string> changed_sets_;  // by the delta that is being applied
  std::unordered_set<std::string> changed_rules_;
};

}  // namespace headgate
