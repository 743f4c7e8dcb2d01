// Queues a frame for its port, or a broadcast, multicast or unknown one for every other workload of the segment. Those
// receivers have no part in the record, so each frame is judged for each of them; but for the one that began the
// connection.
#include "stages/stage.h"

namespace headgate {
namespace {

[[gnu::always_inline]] inline bool queue(Frame& frame, Context& ctx, uint32_t place, const Workload& w) {
  if (w.port == kNoPort) return drop(ctx, frame, place, Reason::kOutputDetached, Direction::kIn);
  return ctx.outputs.add(w.port, frame, place) || drop(ctx, frame, place, Reason::kOutputFull, Direction::kIn);
}

bool admits(Frame& frame, Context& ctx, uint32_t place) {
  if (!frame.connection) return true;
  // An answer to a workload whose MAC was forgotten since.
  if (is_initiator(frame, ctx, ctx.workload(place))) return admit_to_initiator(frame, ctx, place);
  return admit_alone(frame, ctx, place, Direction::kIn);
}

}  // namespace

bool forward_stage(Frame& frame, Context& ctx) {
  if (frame.destination) return queue(frame, ctx, frame.destination_workload, *frame.destination);
  for (uint32_t place : frame.segment->members)
    if (place != frame.source_workload && admits(frame, ctx, place)) queue(frame, ctx, place, ctx.workload(place));
  return true;
}

}  // namespace headgate
