#include "packet/parse.h"

#include "stages/stage.h"

namespace headgate {

bool parse_stage(Frame& frame, Context& ctx) {
  Reason reason = parse(frame);
  return reason == Reason::kNone || drop(ctx, frame, reason);
}

}  // namespace headgate
