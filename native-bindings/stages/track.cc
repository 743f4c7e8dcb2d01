// Finds or makes the connection record of a frame. A SYN on a connection that is over begins a new one.
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {

bool is_tracked(const Headers& h) {
  return (h.layer3 == Layer3::kIpv4 || h.layer3 == Layer3::kIpv6) && !is_neighbour_discovery(h);
}

bool track_stage(Frame& frame, Context& ctx) {
  const Headers& h = frame.headers;
  frame.connection = nullptr;
  if (!is_tracked(h)) return true;
  uint16_t tracker = ctx.segment_of(ctx.workload(frame.source_workload)).tracker;
  Connection* c = ctx.connections.find(h, tracker, ctx.now, ctx.generation->timeouts, frame.reply);
  bool begins = (h.tcp_flags & (kSyn | kAck)) == kSyn;
  // A record that this millisecond has used may be held by another frame of the batch.
  if (c && begins && is_over(*c) && c->last_seen != ctx.now) {
    ctx.connections.remove(*c);
    c = nullptr;
  }
  if (!c) {
    frame.reply = false;
    c = ctx.connections.insert(h, tracker, ctx.now);
    if (!c) return drop(ctx, frame, Reason::kConnectionsFull);
  }
  c->last_seen = ctx.now;
  frame.connection = c;
  return true;
}

}  // namespace headgate
