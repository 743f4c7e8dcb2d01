// Later fragments carry no ports: they get those of their first fragment here (tables/fragments.h). All fragments of a
// packet are looked at by one worker, chosen by their addresses and id; from here they go on as their flow does.
#include "pipeline/steering.h"
#include "stages/stage.h"

namespace headgate {

bool fragments_stage(Frame& frame, Context& ctx) {
  Headers& h = frame.headers;
  if (!h.fragment || frame.joined) return true;
  if (ctx.steering) {
    uint64_t hash = hash_flow(h.source, 0, h.destination, 0, h.protocol, ctx.secret ^ h.fragment_id);
    if (unsigned owner = ctx.steering->owner(hash); owner != ctx.steering->self)
      return ctx.steering->hand_over(frame, owner) ? false : drop(ctx, frame, Reason::kWorkerRingFull);
  }
  frame.joined = true;
  if (h.first_fragment)
    return ctx.fragments.remember(h, frame.tracker, ctx.now) || drop(ctx, frame, Reason::kFragmentsFull);
  return ctx.fragments.resolve(h, frame.tracker, ctx.now) || drop(ctx, frame, Reason::kFragmentUnknown);
}

}  // namespace headgate
