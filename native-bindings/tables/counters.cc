#include "tables/counters.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

namespace headgate {

size_t Counters::bytes() {
  return kLegsAt + kMostLegs * sizeof(LegCounters);
}

Counters::Counters(uint8_t* memory)
    : memory_(memory, bytes()),
      head_(memory_.at<Head>()),
      totals(*memory_.at<CounterTotals>(sizeof(Head))),
      workloads(memory_.at<WorkloadCounters>(sizeof(Head) + sizeof(CounterTotals)), 0),
      legs(memory_.at<LegCounters>(kLegsAt), 0) {
  if (!memory) begin();
}

void Counters::begin() {
  static_assert(sizeof(Head) % 8 == 0);
  const bool fresh = !head_->reasons[0][0];
  bool same = true;
  std::array<std::optional<size_t>, kReasonRoom> was;  // where the counter of a reason stands
  for (size_t r = 0; r < kReasons; ++r) {
    const std::string_view name = kReasonTexts[r].name;
    for (size_t at = 0; at < kReasonRoom; ++at)
      if (strncmp(head_->reasons[at], name.data(), sizeof head_->reasons[at] - 1) == 0) was[r] = at;
    same &= was[r] == r;
  }
  if (fresh) totals = CounterTotals();
  head_->workloads = std::min<uint32_t>(head_->workloads, kMostWorkloads);
  if (same) return;
  const auto move = [&](auto& drops) {
    const auto before = drops;
    for (size_t r = 0; r < kReasonRoom; ++r) drops[r] = was[r] ? before[*was[r]] : std::decay_t<decltype(drops[r])>{};
  };
  move(totals.drops);
  for (size_t i = 0; i < head_->workloads; ++i) move(workloads.data()[i].drops);
  for (size_t r = 0; r < kReasonRoom; ++r) {
    memset(head_->reasons[r], 0, sizeof head_->reasons[r]);
    if (r < kReasons) strncpy(head_->reasons[r], kReasonTexts[r].name, sizeof head_->reasons[r] - 1);
  }
}

void Counters::cover(size_t places) {
  const size_t before = workloads.size();
  workloads = {workloads.data(), std::max(before, std::min(places, kMostWorkloads))};
  for (WorkloadCounters& fresh : workloads.subspan(before))
    if (!fresh.serial) fresh = WorkloadCounters();
  head_->workloads = std::max(head_->workloads, static_cast<uint32_t>(workloads.size()));
}

}  // namespace headgate
