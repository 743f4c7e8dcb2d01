// What one worker counts. Only its worker touches them: reports are copied out by the worker between two batches. They
// stand in memory that an engine which follows another goes on with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "packet/reasons.h"
#include "pools/memory.h"
#include "tables/rule.h"
#include "tables/token_bucket.h"

namespace headgate {

// Of counters in memory: more than there are reasons, so that a version with other ones goes on with it. Each counter
// stands at the place of its reason's number; beside them is which names had which numbers.
constexpr size_t kReasonRoom = 128;
static_assert(kReasons <= kReasonRoom);

struct WorkloadCounters {
  uint32_t serial = 0;  // of the workload they belong to
  uint64_t sent_packets = 0;
  uint64_t sent_bytes = 0;
  uint64_t received_packets = 0;
  uint64_t received_bytes = 0;
  std::array<uint64_t, kReasonRoom> drops{};
  // Broadcast, multicast and unknown frames that the workload may send: 2,000 a second.
  TokenBucket flood{2000, 4000};
};

// Of one portal at one hop of a service tag (tables/services.h). Pairs: from the initiator, from the responder.
struct LegCounters {
  uint32_t serial = 0;
  int64_t credit = 64;  // packets that it may give back (stages/services.cc)
  uint64_t sent_packets[2] = {};
  uint64_t sent_bytes[2] = {};
  uint64_t returned_packets[2] = {};  // of an entry: that came in
  uint64_t returned_bytes[2] = {};
  // Of the first leg of a hop at which none was up: frames that went on without, and that were dropped.
  uint64_t bypassed = 0;
  uint64_t refused = 0;
};

struct CounterTotals {
  uint64_t batches;
  uint64_t frames;    // from ports and from other workers; what was held counts once
  uint64_t log_lost;  // log lines for which the ring had no room
  std::array<std::array<uint64_t, 2>, kReasonRoom> drops;  // by reason and direction
  TokenBucket answers{1000, 1000};                         // resets and ICMP errors made here
};

class Counters {
 public:
  static constexpr size_t kMostWorkloads = 32'768;
  static constexpr size_t kMostLegs = 65'536;
  static size_t bytes();

  // `memory`: bytes(), zeroed or as earlier counters left them; null: its own.
  explicit Counters(uint8_t* memory = nullptr);

  // Before the first frame: the counters that are there begin, or go on with the numbers that reasons have here.
  void begin();
  // Those of the workloads at the first `places` places; such that were never counted begin at 0.
  void cover(size_t places);
  // The same of the places of portals at hops.
  void cover_legs(size_t places) { legs = {legs.data(), std::max(legs.size(), std::min(places, kMostLegs))}; }

 private:
  struct alignas(8) Head {
    uint32_t workloads;  // places that were covered at some time
    char reasons[kReasonRoom][32];
  };
  static constexpr size_t kLegsAt = sizeof(Head) + sizeof(CounterTotals) + kMostWorkloads * sizeof(WorkloadCounters);
  TableMemory memory_;
  Head* head_;

 public:
  CounterTotals& totals;
  std::span<WorkloadCounters> workloads;  // by place
  std::span<LegCounters> legs;            // likewise
};

}  // namespace headgate
