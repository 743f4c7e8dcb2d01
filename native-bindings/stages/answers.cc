// Sends what packet/answer.h builds, back through the port that the frame came from or on to its receiver. At most as
// many a second as the worker's bucket gives, so that nobody can use the firewall as a source of traffic.
#include "packet/answer.h"
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {
namespace {

void send(Context& ctx, const Frame& frame, uint32_t to, auto build) {
  if (to >= ctx.generation->workloads.size() || !ctx.generation->workloads[to]) return;
  const Workload& w = ctx.workload(to);
  if (w.port == kNoPort) return;
  Frame* answer = ctx.pool.acquire();
  if (!answer) return;
  if (!build(frame, *answer)) {
    ctx.pool.release(answer);
    return;
  }
  parse(*answer);  // coalescing and segmentation on the way out read the headers
  answer->bridge = frame.bridge;
  if (!ctx.outputs.add_own(w.port, *answer, to)) ctx.pool.release(answer);
}

}  // namespace

void answer_reject(Context& ctx, const Frame& frame) {
  if (!ctx.answers.take(ctx.now)) return;
  bool tcp = frame.headers.protocol == kTcp && frame.headers.layer4_offset;
  send(ctx, frame, frame.source_workload, tcp ? build_reset_to_sender : build_prohibited);
}

void answer_too_big(Context& ctx, const Frame& frame, uint32_t most) {
  if (!ctx.answers.take(ctx.now)) return;
  send(ctx, frame, frame.source_workload, [most](const Frame& about, Frame& answer) {
    return build_too_big(about, answer, most - about.headers.layer3_offset);
  });
}

void answer_reset(Context& ctx, const Frame& frame) {
  if (!ctx.answers.take(ctx.now)) return;
  send(ctx, frame, frame.source_workload, build_reset_to_sender);
  send(ctx, frame, frame.destination_workload, build_reset_to_receiver);
}

}  // namespace headgate
