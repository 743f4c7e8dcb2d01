// The stages. Each looks at one frame and either lets it go on (true) or has dropped, answered or handed it over
// (false). They stand here in the order in which a frame meets them; pipeline/pipeline.cc lists them as data.
#pragma once

#include "packet/frame.h"
#include "pipeline/context.h"

namespace headgate {

struct Stage {
  const char* name;
  bool (*run)(Frame& frame, Context& ctx);
};

// Checks every length and finds the headers (packet/parse.h).
bool parse_stage(Frame& frame, Context& ctx);
// Finds the sending workload, takes the VLAN tags off, learns its MAC, and refuses MACs and addresses that it may not
// use.
bool guard_stage(Frame& frame, Context& ctx);
// Finds the workload that the frame goes to in its segment, or that it goes to many.
bool locate_stage(Frame& frame, Context& ctx);
// Gives later fragments the ports of their first one.
bool fragments_stage(Frame& frame, Context& ctx);
// Hands the frame to the worker that owns its flow.
bool steer_stage(Frame& frame, Context& ctx);
// Finds or makes the connection record.
bool track_stage(Frame& frame, Context& ctx);
// Has the frame's flow judged at the sending and at the receiving workload, once, and acts on the verdicts.
bool classify_stage(Frame& frame, Context& ctx);
// Moves the state of the record on and counts the frame: only frames that were let through do that.
bool advance_stage(Frame& frame, Context& ctx);
// Queues the frame for the port or ports it goes to.
bool forward_stage(Frame& frame, Context& ctx);

// The verdict of a workload's index table for a flow, without a record: for frames with many destinations.
struct Decision {
  Action action;
  OnChange on_change;
  uint32_t hit;
  bool by_rule;  // else by the default action
};
Decision decide(Context& ctx, uint32_t workload, Direction direction, const FlowHeaders& flow);
// Has a traced frame's record say what was decided at one of its receivers (pipeline/trace.h).
void note_decision(const Context& ctx, TraceRecord& record, uint32_t workload, const Decision& decision);

// For a reply with many destinations: whether the workload is the one that began the connection, and then, what the
// record says of the frame there; false has dropped it.
bool is_initiator(const Frame& frame, const Context& ctx, const Workload& workload);
bool admit_to_initiator(Frame& frame, Context& ctx, uint32_t place);

// Counts a frame for the rule (or default) that decided.
inline void count_hit(Context& ctx, uint32_t place, const Frame& frame) {
  Hit& hit = ctx.hits[place];
  hit.packets += frame.headers.wire_packets;
  hit.bytes += frame.length;
  hit.last_seen = ctx.now;
}

// Answers a rejected frame to its sender: RST for TCP, ICMP for the rest. Rate limited.
void answer_reject(Context& ctx, const Frame& frame);
// Ends a TCP connection at both ends.
void answer_reset(Context& ctx, const Frame& frame);

}  // namespace headgate
