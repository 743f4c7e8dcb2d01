// What the stages of one worker work with, and the one door through which a frame is dropped.
#pragma once

#include <span>

#include "packet/frame.h"
#include "packet/frame_pool.h"
#include "pipeline/outputs.h"
#include "tables/connections.h"
#include "tables/counters.h"
#include "tables/crossings.h"
#include "tables/expectations.h"
#include "tables/fragments.h"
#include "tables/generation.h"
#include "tables/helpers.h"
#include "tables/hits.h"
#include "tables/log_ring.h"
#include "tables/lookup_memo.h"
#include "tables/token_bucket.h"

namespace headgate {

class Steering;

// Where the last frame of the running batch went that has one destination (stages/locate.cc).
struct Located {
  const Workload* source = nullptr;  // null: none yet
  uint64_t mac = 0;                  // frame_mac of the destination
  const Workload* destination = nullptr;
  uint32_t place = 0;
};

struct Context {
  const Generation* generation;
  ConnectionTable& connections;
  Crossings& crossings;
  Helpers& helpers;
  HitTable& hits;
  LookupMemo& memo;
  FragmentTable& fragments;
  Counters& counters;
  LogRing& log;
  Outputs& outputs;
  FramePool& pool;             // spare frames for answers and segments
  Expectations* expectations;  // null: nothing is announced, as in a simulation
  Steering* steering;          // null: one worker owns every flow
  TokenBucket& answers;        // resets and ICMP errors made here
  uint64_t secret;             // of hash_flow
  uint32_t now = 0;            // milliseconds; the same for a whole batch
  uint32_t seconds = 0;        // likewise
  Located located = {};
  std::span<Frame* const> ahead = {};  // of the running batch, while no new flow was found in it (stages/track.cc)

  const Workload& workload(uint32_t place) const { return *generation->workloads[place]; }
  const Segment& segment_of(const Workload& w) const { return *generation->segments[w.segment]; }
};

// Has a traced frame's record say so (pipeline/trace.h).
void note_drop(const Context& ctx, TraceRecord& record, uint32_t workload, Reason reason, Direction direction);

// Counts the drop for the reason and for the workload that sent the frame (kOut) or was to get it (kIn). Returns false,
// so a stage ends with `return drop(...)`. The frame itself stays the worker's.
inline bool drop(Context& ctx, const Frame& frame, uint32_t workload, Reason reason, Direction direction) {
  if (frame.trace) [[unlikely]]
    note_drop(ctx, *frame.trace, workload, reason, direction);
  size_t i = static_cast<size_t>(reason);
  ++ctx.counters.totals.drops[i][static_cast<int>(direction)];
  if (workload < ctx.counters.workloads.size()) ++ctx.counters.workloads[workload].drops[i];
  return false;
}

inline bool drop(Context& ctx, const Frame& frame, Reason reason) {
  return drop(ctx, frame, frame.source_workload, reason, Direction::kOut);
}

}  // namespace headgate
