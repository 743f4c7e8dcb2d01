// A frame's way, in order. A worker receives a batch from a port, runs it through these stages, and transmits what is left
// (pipeline/worker.cc, pipeline/transmit.cc). Services (NAT, balancing, tags) will stand between advance and forward.
#include "pipeline/pipeline.h"

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
    {"forward", forward_stage},      // stages/forward.cc: to the output queues
};

constexpr size_t kResume = 3;

}  // namespace

std::span<const Stage> pipeline_stages() { return kStages; }

size_t resume_stage() { return kResume; }

void run_stages(std::span<const Stage> stages, std::span<Frame*> frames, Context& ctx) {
  size_t left = frames.size();
  for (const Stage& stage : stages) {
    size_t kept = 0;
    for (size_t i = 0; i < left; ++i)
      if (stage.run(*frames[i], ctx)) frames[kept++] = frames[i];
    left = kept;
  }
}

}  // namespace headgate
