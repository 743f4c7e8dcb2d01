// A flow belongs to one worker, the same for both directions, by the hash of its 5-tuple. An ICMP error goes to the
// worker of the flow that it is about.
#include "packet/embedded.h"
#include "packet/hash.h"
#include "pipeline/steering.h"
#include "stages/stage.h"

namespace headgate {

namespace {

[[gnu::noinline]] uint64_t hash_embedded(const Frame& frame, uint64_t secret) {
  Embedded e;
  if (frame.headers.fragment || !parse_embedded(frame, e)) return 0;
  const Headers& inner = e.inner;
  return hash_flow(inner.source, inner.source_port, inner.destination, inner.destination_port, inner.protocol, secret);
}

}  // namespace

[[gnu::always_inline]] inline uint64_t hash_of(const Frame& frame, const Context& ctx) {
  const Headers& h = frame.headers;
  if (h.icmp_error) return hash_embedded(frame, ctx.secret);
  return hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, ctx.secret);
}

bool steer_stage(Frame& frame, Context& ctx) {
  Headers& h = frame.headers;
  if (!is_tracked(h)) return true;
  h.hash = hash_of(frame, ctx);
  if (ctx.steering) {
    unsigned owner = ctx.steering->owner(h.hash);
    if (owner != ctx.steering->self)
      return ctx.steering->hand_over(frame, owner) ? false : drop(ctx, frame, Reason::kWorkerRingFull);
  }
  frame.bucket = ctx.connections.prefetch(h.hash, frame.tracker);
  return true;
}

}  // namespace headgate
