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

struct Counters {
  uint64_t batches = 0;
  uint64_t frames = 0;    // from ports and from other workers; what was held counts once
  uint64_t log_lost = 0;  // log lines for which the ring had no room
  std::array<std::array<uint64_t, 2>, kReasons> drops{};  // by reason and direction
  std::vector<WorkloadCounters> workloads;                // by place
};

}  // namespace headgate
