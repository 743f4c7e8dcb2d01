// Finds or makes the connection record of a frame. A SYN on a connection that is over begins a new one.
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {

bool track_stage(Frame& frame, Context& ctx) {
  const Headers& h = frame.headers;
  frame.connection = nullptr;
  if (!is_tracked(h)) return true;
  Connection* c = ctx.connections.find(h, frame.tracker, ctx.now, ctx.generation->timeouts, frame.reply);
  bool begins = (h.tcp_flags & (kSyn | kAck)) == kSyn;
  // A record that this millisecond has used may be held by another frame of the batch.
  if (c && begins && is_over(*c) && c->last_seen != ctx.now) {
    ctx.connections.remove(*c);
    c = nullptr;
  }
  if (!c) {
    frame.reply = false;
    c = ctx.connections.insert(h, frame.tracker, ctx.now);
    if (!c) return drop(ctx, frame, Reason::kConnectionsFull);
    ctx.new_flows.add(flow_of(*c), frame.source_workload, frame.destination_workload);
  }
  c->last_seen = ctx.now;
  frame.connection = c;
  return true;
}

}  // namespace headgate
