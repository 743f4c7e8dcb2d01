// A flow belongs to one worker, the same for both directions, by the hash of its 5-tuple.
#include "packet/hash.h"
#include "pipeline/steering.h"
#include "stages/stage.h"

namespace headgate {

bool steer_stage(Frame& frame, Context& ctx) {
  Headers& h = frame.headers;
  if (!is_tracked(h)) return true;
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, ctx.secret);
  if (ctx.steering) {
    unsigned owner = ctx.steering->owner(h.hash);
    if (owner != ctx.steering->self)
      return ctx.steering->hand_over(frame, owner) ? false : drop(ctx, frame, Reason::kWorkerRingFull);
  }
  frame.bucket = ctx.connections.prefetch(h.hash, frame.tracker);
  return true;
}

}  // namespace headgate
