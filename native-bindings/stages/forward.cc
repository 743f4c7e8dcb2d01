// Queues a frame for its port, or a broadcast, multicast or unknown one for every other workload of the segment. Those
// receivers have no part in the record, so each frame is judged for each of them; but for the one that began the
// connection.
#include "packet/segment.h"
#include "stages/stage.h"

namespace headgate {
namespace {

// For a workload that is not attached, or the far side of the segment, to which long frames find no way.
[[gnu::noinline]] bool queue_aside(Frame& frame, Context& ctx, uint32_t place, const Workload& w) {
  if (w.port == kNoPort) return drop(ctx, frame, place, Reason::kOutputDetached, Direction::kIn);
  const uint32_t most = w.remote->most.load(std::memory_order_relaxed);
  if (most != 0 && longest_segment(frame) > most && !w.remote->fragment) {
    answer_too_big(ctx, frame, most);
    return drop(ctx, frame, place, Reason::kTunnelTooBig, Direction::kIn);
  }
  return ctx.outputs.add(w.port, frame, place) || drop(ctx, frame, place, Reason::kOutputFull, Direction::kIn);
}

[[gnu::always_inline]] inline bool queue(Frame& frame, Context& ctx, uint32_t place, const Workload& w) {
  if (w.output == kNoPort) return queue_aside(frame, ctx, place, w);
  return ctx.outputs.add(w.output, frame, place) || drop(ctx, frame, place, Reason::kOutputFull, Direction::kIn);
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
  for (uint32_t place : frame.segment->members) {
    const Workload& w = ctx.workload(place);
    const bool back = place == frame.source_workload || (frame.source->remote && w.remote);  // split horizon
    if (!back && admits(frame, ctx, place)) queue(frame, ctx, place, w);
  }
  return true;
}

}  // namespace headgate
