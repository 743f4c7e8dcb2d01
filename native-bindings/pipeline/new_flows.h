// The flows that began in the running batch. Each is asked about at two workloads; that is looked up for all of them
// together (tables/lookup.h says why), before the classify stage judges them one by one and finds the answers in the
// memo.
#pragma once

#include "tables/lookup_memo.h"
#include "tables/mac_table.h"

namespace headgate {

class NewFlows {
 public:
  static constexpr size_t kMost = 64;  // flows of a batch

  // A flow that workload `from` begins towards `to`, or towards many (kManyOutputs).
  void add(const FlowHeaders& flow, uint32_t from, uint32_t to) {
    flows_[flow_count_] = flow;
    const FlowHeaders* kept = &flows_[flow_count_++];
    questions_[count_++] = {from, Direction::kOut, kept};
    if (to != kManyOutputs) questions_[count_++] = {to, Direction::kIn, kept};
  }

  void look_up(const Lookup& lookup, LookupMemo& memo) {
    for (size_t i = 0; flow_count_ > 1 && i < count_; i += Lookup::kBatch)
      memo.anticipate(lookup, {questions_ + i, std::min(Lookup::kBatch, count_ - i)});
    flow_count_ = count_ = 0;
  }

 private:
  FlowHeaders flows_[kMost];
  Lookup::Question questions_[2 * kMost];
  size_t flow_count_ = 0;
  size_t count_ = 0;
};

}  // namespace headgate
