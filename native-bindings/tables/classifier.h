// The lookup of rules: which entry of a workload's index table is the first that matches a flow. Changed off the packet
// threads; what it publishes is immutable, and is valid until every reader has taken over the next.
//
// Here as a walk through each workload's entries in order.
#pragma once

#include <span>

#include "tables/index_entry.h"

namespace headgate {

class Lookup {
 public:
  // The first entry, in order and not before `from`, that is in the workload's index table, runs in this direction and
  // matches; null if there is none.
  const IndexEntry* first_match(uint32_t workload, Direction direction, const FlowHeaders& flow, uint64_t from) const;

 private:
  friend class Classifier;
  using Entries = std::vector<const IndexEntry*>;
  std::vector<std::shared_ptr<const Entries>> tables_;  // by workload
  std::vector<std::shared_ptr<const AddressSet>> sets_;
};

// Used by one thread. Nothing that is changed is seen before commit().
class Classifier {
 public:
  // Makes the set or changes it.
  void set_addresses(uint32_t set, const AddressSet& addresses);
  // No entry's rule names it any more.
  void drop_addresses(uint32_t set);
  // The entry stays where it is until settled() after its removal. `workloads`: the places of its scope's members.
  void add(const IndexEntry* entry, std::span<const uint32_t> workloads);
  void remove(const IndexEntry* entry);
  // The workload enters or leaves scopes: these entries come into its index table or go out of it.
  void join(uint32_t workload, std::span<const IndexEntry* const> entries);
  void leave(uint32_t workload, std::span<const IndexEntry* const> entries);
  // The only addresses that the workload may have; null: any.
  void set_own(uint32_t workload, const AddressSet* own);
  // Its place is free; it has left all scopes.
  void forget(uint32_t workload);
  std::shared_ptr<const Lookup> commit();
  // Every reader has taken over what commit() gave.
  void settled() {}
  // In use by the entries that are in it.
  size_t slots() const { return slots_; }
  static size_t slots_of(const Rule& rule);

 private:
  Lookup::Entries& table(uint32_t workload);
  Lookup next_;
  size_t slots_ = 0;
};

}  // namespace headgate
