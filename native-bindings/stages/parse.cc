#include "packet/parse.h"

#include "stages/stage.h"

namespace headgate {
namespace {

// What a tunnel found no inner frame in has no bytes, and a reason already.
[[gnu::noinline]] Reason refused(const Frame& frame, const Context& ctx, Reason reason) {
  const bool by_tunnel = ctx.generation->ports[frame.port].tunnel && frame.hop.refused != Reason::kNone;
  return by_tunnel ? frame.hop.refused : reason;
}

}  // namespace

bool parse_stage(Frame& frame, Context& ctx) {
  Reason reason = parse(frame);
  return reason == Reason::kNone || drop(ctx, frame, refused(frame, ctx, reason));
}

}  // namespace headgate
