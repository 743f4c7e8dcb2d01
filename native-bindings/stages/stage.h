// The stages. Each looks at one frame and either lets it go on (true) or has dropped, answered or handed it over
// (false). They stand here in the order in which a frame meets them; pipeline/pipeline.cc lists them as data.
#pragma once

#include "packet/frame.h"
#include "pipeline/context.h"

namespace headgate {

struct TraceService;

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
// Sends the frames of flows that have a service tag through their portals, and takes up those that come back.
bool services_stage(Frame& frame, Context& ctx);
// Queues the frame for the port or ports it goes to.
bool forward_stage(Frame& frame, Context& ctx);

// The verdict of a workload's index table for a flow, without a record: for frames with many destinations.
struct Decision {
  Action action;
  OnChange on_change;
  uint32_t hit;
  bool by_rule;  // else by the default action
  uint8_t profile;
  Helper helper;
};
Decision decide(Context& ctx, uint32_t workload, Direction direction, const FlowHeaders& flow);
// Has a traced frame's record say what was decided at one of its receivers (pipeline/trace.h).
void note_decision(const Context& ctx, TraceRecord& record, uint32_t workload, const Decision& decision);

// Likewise, that it goes to a service portal or has come from one.
void note_service(TraceRecord& record, const TraceService& service);
// Judges a frame by the workload's own rules alone, whatever its connection's record says; false has dropped it.
bool admit_alone(Frame& frame, Context& ctx, uint32_t place, Direction direction);

// For a reply with many destinations: whether the workload is the one that began the connection, and then, what the
// record says of the frame there; false has dropped it.
bool is_initiator(const Frame& frame, const Context& ctx, const Workload& workload);
bool admit_to_initiator(Frame& frame, Context& ctx, uint32_t place);

// Which way the flow of a frame at an edge pair runs there: a reply comes in where the flow went out.
inline Direction edge_direction(const Frame& frame, bool reply) {
  return (*frame.source->side == EdgeSide::kSouth) != reply ? Direction::kOut : Direction::kIn;
}

// Of steer: the hash of the frame's flow; of an ICMP error that of the flow it is about.
uint64_t hash_of(const Frame& frame, const Context& ctx);
// Of guard: whether the frame comes from a service portal, and is let in (kYes) or done with (kDone).
enum class Served { kNot, kYes, kDone };
Served admit_serviced(Frame& frame, Context& ctx);
void strip_tags(Frame& frame);
// Of advance: looks for what announces another connection in what was let through, before the state moves on.
void read_ftp(const Frame& frame, Context& ctx, const Connection& c, const TcpSegment& segment);
void read_tftp(const Frame& frame, Context& ctx, const Connection& c);
// Of track: whether the new connection was announced, which it then remembers.
void note_expected(const Frame& frame, Context& ctx, Connection& c);
// Of classify: has the connection remember the service tag that rules choose for it at its ends, if any.
void choose_service(const Frame& frame, Context& ctx, Connection& c);

// Counts a frame for the rule (or default) that decided.
inline void count_hit(Context& ctx, uint32_t place, const Frame& frame) {
  Hit& hit = ctx.hits[place];
  hit.packets += frame.headers.wire_packets;
  hit.bytes += frame.length;
  hit.last_seen = ctx.now;
}

// Answers a rejected frame to its sender: RST for TCP, ICMP for the rest. Rate limited.
void answer_reject(Context& ctx, const Frame& frame);
// Tells the sender that frames of at most `most` bytes find their way (RFC 1191, RFC 8201). Rate limited.
void answer_too_big(Context& ctx, const Frame& frame, uint32_t most);
// Ends a TCP connection at both ends.
void answer_reset(Context& ctx, const Frame& frame);

}  // namespace headgate
