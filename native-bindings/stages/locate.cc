// Switching: the workload that has the destination MAC in the sender's segment. Broadcast, multicast and unknown
// destinations go to every other workload of the segment, as many a second as the sender may.
//
// A frame at an edge pair goes to the partner of the interface that it came in by, whoever it is addressed to.
//
// Frames come in trains: the next one of a batch mostly goes where the last one went, so that answer is kept for the
// batch.
#include "packet/parse.h"
#include "packet/wire.h"
#include "stages/stage.h"

namespace headgate {
namespace {

// 01:80:c2:00:00:00 to 0f: spanning tree, LACP, LLDP and the like (IEEE 802.1D, 7.12.6).
bool is_reserved(const uint8_t* mac) {
  static constexpr uint8_t kPrefix[5] = {0x01, 0x80, 0xc2, 0, 0};
  return memcmp(mac, kPrefix, 5) == 0 && mac[5] < 16;
}

bool cross_edge(Frame& frame, Context& ctx) {
  if (is_reserved(frame.data)) return drop(ctx, frame, Reason::kMacReserved);
  if (frame.destination_workload == kNoWorkload) return drop(ctx, frame, Reason::kNoMember);
  frame.destination = &ctx.workload(frame.destination_workload);
  return true;
}

[[gnu::noinline]] bool look_up(Frame& frame, Context& ctx) {
  if (frame.bridge) return cross_edge(frame, ctx);
  if (frame.passage.tag) return true;  // the services stage knows (stages/services.cc)
  const uint8_t* mac = frame.data;
  const Segment& segment = *frame.segment;
  if (!is_group(mac)) {
    uint32_t place = segment.macs->find(mac, ctx.seconds);
    if (place == frame.source_workload) return drop(ctx, frame, Reason::kNoOtherPort);
    // The table of MACs may already know workloads of the next generation.
    if (place < ctx.generation->workloads.size()) {
      frame.destination_workload = place;
      frame.destination = ctx.generation->workloads[place].get();
      if (frame.destination) {
        // Hosts are joined each with each: what came by a tunnel goes out by none.
        if (frame.source->remote && frame.destination->remote) return drop(ctx, frame, Reason::kSplitHorizon);
        ctx.located = {frame.source, frame_mac(mac), frame.destination, place};
        return true;
      }
    }
  } else if (is_reserved(mac)) {
    return drop(ctx, frame, Reason::kMacReserved);
  }
  if (segment.members.size() < 2) return drop(ctx, frame, Reason::kNoMember);
  if (!ctx.counters.workloads[frame.source_workload].flood.take(ctx.now))
    return drop(ctx, frame, Reason::kFloodLimited);
  frame.destination_workload = kManyOutputs;
  frame.destination = nullptr;
  return true;
}

}  // namespace

bool locate_stage(Frame& frame, Context& ctx) {
  const Located& last = ctx.located;
  if (frame.source != last.source || frame_mac(frame.data) != last.mac) return look_up(frame, ctx);
  frame.destination_workload = last.place;
  frame.destination = last.destination;
  return true;
}

}  // namespace headgate
