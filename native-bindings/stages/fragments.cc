// Later fragments carry no ports: they get those of their first fragment here, and wait for it where it comes behind
// them (tables/fragments.h). The worker takes them up again between two batches. All fragments of a datagram are looked
// at by one worker, chosen by their addresses and id; from here they go on as their flow does.
#include "pipeline/steering.h"
#include "stages/stage.h"

namespace headgate {
namespace {

[[gnu::noinline]] bool join_fragment(Frame& frame, Context& ctx) {
  const Headers& h = frame.headers;
  if (ctx.steering) {
    uint64_t hash = hash_flow(h.source, 0, h.destination, 0, 0, ctx.secret ^ h.fragment_id);
    if (unsigned owner = ctx.steering->owner(hash); owner != ctx.steering->self)
      return ctx.steering->hand_over(frame, owner) ? false : drop(ctx, frame, Reason::kWorkerRingFull);
  }
  bool held;
  Reason reason = ctx.fragments.take(frame, ctx.now, held);
  if (reason != Reason::kNone) return drop(ctx, frame, reason);
  return !held;
}

}  // namespace

bool fragments_stage(Frame& frame, Context& ctx) {
  return !frame.headers.fragment || frame.joined || join_fragment(frame, ctx);
}

}  // namespace headgate
