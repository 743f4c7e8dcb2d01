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
  const Headers& h = frame.headers;
  FlowHeaders flow{h.source, h.destination, h.source_port, h.destination_port, h.protocol, h.icmp_type, h.icmp_code};
  Decision d = decide(ctx, place, Direction::kIn, flow);
  count_hit(ctx, d.hit, frame);
  if (frame.trace) [[unlikely]]
    note_decision(ctx, *frame.trace, place, d);
  if (d.action == Action::kAllow) return true;
  // Nobody is told that one of many receivers refused (RFC 1122, 3.2.2).
  Reason reason = d.by_rule ? Reason::kPolicyDrop : Reason::kDefaultDrop;
  return drop(ctx, frame, place, reason, Direction::kIn);
}

}  // namespace

bool forward_stage(Frame& frame, Context& ctx) {
  if (frame.destination) return queue(frame, ctx, frame.destination_workload, *frame.destination);
  for (uint32_t place : frame.segment->members)
    if (place != frame.source_workload && admits(frame, ctx, place)) queue(frame, ctx, place, ctx.workload(place));
  return true;
}

}  // namespace headgate
