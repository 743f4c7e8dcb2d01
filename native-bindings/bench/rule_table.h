// Tuples as rules of Headgate, in a classifier: each distinct range of addresses is an address set.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "bench/tuples.h"
#include "tables/classifier.h"

namespace headgate::bench {

std::vector<FlowHeaders> flows_of(const std::vector<Header>& headers);
FlowHeaders flow_of(const Header& header);

class RuleTable {
 public:
  // Entry `number` of the index tables of `workloads`. Its serial is its number plus one. An entry that is there
  // already is replaced, in the same commit.
  void put(uint32_t number, const Tuple& tuple, const std::vector<uint32_t>& workloads);
  // What put() has done takes effect for those who use this lookup; settled() once nobody uses an earlier one.
  std::shared_ptr<const Lookup> commit() { return classifier_.commit(); }
  void settled();

  size_t memory() const { return classifier_.memory(); }

 private:
  using Range = std::pair<uint32_t, uint32_t>;
  struct Named {
    SetId id;
    size_t users;
  };
  std::vector<uint32_t> set_of(Range range);
  void release(const Tuple& tuple);
  std::shared_ptr<const Rule> rule_of(const Tuple& tuple);

  Classifier classifier_;
  struct Held {
    Tuple tuple;
    std::unique_ptr<const IndexEntry> entry;
  };
  std::vector<Held> held_;  // by number
  std::vector<std::unique_ptr<const IndexEntry>> replaced_;
  std::map<Range, Named> sets_;
  SetId next_set_ = 0;
  std::vector<SetId> free_sets_, dropped_sets_;
};

// An answer is 0, or the number of the entry plus one.
inline uint32_t answer(const IndexEntry* entry) {
  return entry ? entry->serial : 0;
}
// In batches, as workers ask (pipeline/new_flows.h).
void ask(const Lookup& lookup, std::span<const Lookup::Question> questions, uint32_t* answers);

}  // namespace headgate::bench
