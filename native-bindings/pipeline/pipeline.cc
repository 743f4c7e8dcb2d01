// A frame's way, in order. A worker receives a batch from a port, runs it through these stages, and transmits what is
// left (pipeline/worker.cc, pipeline/transmit.cc).
//
// The stages are compiled together with this list, so that the compiler sees a frame's whole way: called through
// pointers, one after the other, they took half as many instructions again (scripts/bench pipeline).
#include "pipeline/pipeline.h"

namespace headgate {
#define STAGE(name) [[gnu::always_inline]] inline bool name(Frame& frame, Context& ctx)
STAGE(parse_stage);
STAGE(guard_stage);
STAGE(locate_stage);
STAGE(fragments_stage);
STAGE(steer_stage);
STAGE(track_stage);
STAGE(classify_stage);
STAGE(advance_stage);
STAGE(services_stage);
STAGE(forward_stage);
#undef STAGE
}  // namespace headgate

#include "packet/parse.cc"
#include "stages/advance.cc"
#include "stages/classify.cc"
#include "stages/expect.cc"
#include "stages/forward.cc"
#include "stages/fragments.cc"
#include "stages/guard.cc"
#include "stages/locate.cc"
#include "stages/parse.cc"
#include "stages/services.cc"
#include "stages/steer.cc"
#include "stages/track.cc"

namespace headgate {
namespace {

constexpr Stage kStages[] = {
    {"parse", parse_stage},          // stages/parse.cc: the one gate; every length is checked here
    {"guard", guard_stage},          // stages/guard.cc: who sent it, and may it use these addresses
    {"locate", locate_stage},        // stages/locate.cc: where in the segment it goes
    {"fragments", fragments_stage},  // stages/fragments.cc: ports for later fragments
    {"steer", steer_stage},          // stages/steer.cc: to the worker that owns the flow
    {"track", track_stage},          // stages/track.cc: its connection record
    {"classify", classify_stage},    // stages/classify.cc: the firewall
    {"advance", advance_stage},      // stages/advance.cc: the record's state
    {"services", services_stage},    // stages/services.cc: through service portals, by tags
    {"forward", forward_stage},      // stages/forward.cc: to the output queues
};
constexpr size_t kEnd = std::size(kStages);

// Stages [from, to) of one frame: true when all let it go on.
template <size_t from, size_t to>
[[gnu::always_inline]] inline bool run_frame(Frame& frame, Context& ctx) {
  if constexpr (from == to)
    return true;
  else
    return kStages[from].run(frame, ctx) && run_frame<from + 1, to>(frame, ctx);
}

// The same of a batch. Those that go on move to the front; returns how many they are.
template <size_t from, size_t to>
[[gnu::flatten, gnu::noinline]] size_t run_stages(std::span<Frame*> frames, Context& ctx) {
  Frame** kept = frames.data();
  for (Frame* frame : frames)
    if (run_frame<from, to>(*frame, ctx)) *kept++ = frame;
  return static_cast<size_t>(kept - frames.data());
}

template <size_t from>
void run_from(std::span<Frame*> frames, Context& ctx) {
  size_t kept = run_stages<from, kTrackStage>(frames, ctx);
  ctx.ahead = frames.first(kept);
  run_stages<kTrackStage, kEnd>(frames.first(kept), ctx);
}

}  // namespace

const Pipeline kPipeline = {run_from<0>, run_from<kResumeStage>};

std::span<const Stage> pipeline_stages() {
  return kStages;
}

}  // namespace headgate
