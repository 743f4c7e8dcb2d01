// What one worker counts. Only its worker touches them: reports are copied out by the worker between two batches.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "packet/reasons.h"
#include "tables/rule.h"
#include "tables/token_bucket.h"

namespace headgate {

struct WorkloadCounters {
  uint32_t serial = 0;  // of the workload they belong to
  uint64_t sent_packets = 0;
  uint64_t sent_bytes = 0;
  uint64_t received_packets = 0;
  uint64_t received_bytes = 0;
  std::array<uint64_t, kReasons> drops{};
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

struct Counters {
  uint64_t batches = 0;
  uint64_t frames = 0;    // from ports and from other workers; what was held counts once
  uint64_t log_lost = 0;  // log lines for which the ring had no room
  std::array<std::array<uint64_t, 2>, kReasons> drops{};  // by reason and direction
  std::vector<WorkloadCounters> workloads;                // by place
  std::vector<LegCounters> legs;                          // likewise
};

}  // namespace headgate
