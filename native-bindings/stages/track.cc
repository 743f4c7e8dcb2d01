// Finds or makes the connection record of a frame. A SYN or INIT on a connection that is over begins a new one. A
// workload that is at one of its limits begins none. An ICMP error is about a connection that is there, or is dropped
// (RFC 5927).
//
// With the first new flow of a batch, what all its new flows ask of the rules is looked up: together they wait for
// memory once (tables/lookup.h). The classify stage judges them one by one and finds the answers in the memo.
#include <utility>

#include "packet/embedded.h"
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {
namespace {

[[gnu::noinline]] void look_ahead(Context& ctx) {
  FlowHeaders flows[Lookup::kBatch / 2];
  Lookup::Question questions[Lookup::kBatch];
  size_t flow_count = 0, count = 0;
  for (const Frame* frame : std::exchange(ctx.ahead, {})) {
    const Headers& h = frame->headers;
    if (!is_tracked(h) || h.icmp_error || ctx.connections.peek(h, frame->tracker)) continue;
    FlowHeaders& flow = flows[flow_count++] = {h.source,   h.destination, h.source_port, h.destination_port,
                                               h.protocol, h.icmp_type,   h.icmp_code};
    if (frame->bridge)
      questions[count++] = {frame->bridge->judge, edge_direction(*frame, false), &flow};
    else
      questions[count++] = {frame->source_workload, Direction::kOut, &flow};
    if (frame->destination && !frame->bridge) questions[count++] = {frame->destination_workload, Direction::kIn, &flow};
    if (flow_count < std::size(flows)) continue;
    ctx.memo.anticipate(*ctx.generation->lookup, {questions, count});
    flow_count = count = 0;
  }
  if (flow_count > 1) ctx.memo.anticipate(*ctx.generation->lookup, {questions, count});
}

// Whether the account is at a limit; takes a token for the connection if not.
Reason over_limit(ConnectionTable& connections, uint16_t number, uint32_t now) {
  Account& account = connections.accounts()[number];
  if (account.open() >= account.limits.connections) return Reason::kConnectionsQuota;
  if (!account.rate.take(now)) return Reason::kConnectionsRate;
  // A handshake is done long before its record is one of the oldest, also in a flood of the same workload.
  if (account.half_open() >= account.limits.half_open && !connections.recycle_half_open(number, now))
    return Reason::kHalfOpenQuota;
  return Reason::kNone;
}

// The record of a new flow, on the account of the workload that sent this frame, at an edge pair of the tracker; null
// if it was dropped.
[[gnu::noinline]] Connection* begin(Frame& frame, Context& ctx) {
  frame.reply = false;
  const uint32_t payer = frame.bridge ? frame.bridge->judge : frame.source_workload;
  const uint16_t account = ctx.connections.accounts().number_of(payer);
  const Reason over = over_limit(ctx.connections, account, ctx.now);
  if (over != Reason::kNone) {
    drop(ctx, frame, payer, over, Direction::kOut);
    return nullptr;
  }
  if (!ctx.ahead.empty()) look_ahead(ctx);
  Connection* c = ctx.connections.insert(frame.headers, frame.tracker, ctx.now, account);
  if (!c) {  // full, perhaps of records that are past their time
    ctx.connections.expire(ctx.now, ctx.generation->profiles, 1);
    c = ctx.connections.insert(frame.headers, frame.tracker, ctx.now, account);
  }
  if (!c) drop(ctx, frame, Reason::kConnectionsFull);
  if (c && ctx.expectations && ctx.expectations->any(ctx.now)) note_expected(frame, ctx, *c);
  return c;
}

// Whether the embedded packet, which ran against the connection's first frame or not, may have been one of it.
bool may_be_about(const Connection& c, const Embedded& e, bool turned) {
  if (is_denied(c)) return false;
  return c.protocol != kTcp || c.tcp.may_have_sent(e.sequence, turned);
}

// The frame runs against the packet that it is about: to its sender.
[[gnu::noinline]] bool track_error(Frame& frame, Context& ctx) {
  Embedded e;
  if (frame.headers.fragment || !parse_embedded(frame, e)) return drop(ctx, frame, Reason::kIcmpErrorMalformed);
  bool turned;
  Connection* c = ctx.connections.find(e.inner, frame.tracker, frame.bucket, ctx.now, ctx.generation->profiles, turned);
  if (!c || !may_be_about(*c, e, turned)) return drop(ctx, frame, Reason::kIcmpErrorUnrelated);
  frame.connection = c;
  frame.reply = !turned;
  return true;
}

// Whether the frame, which opens, finds a connection that it takes the place of.
bool reopens(const Frame& frame, const Connection& c) {
  const Headers& h = frame.headers;
  if (h.protocol == kTcp) return (h.tcp_flags & (kSyn | kAck)) == kSyn && (c.tcp.is_over() || is_ended(c));
  if (h.protocol != kSctp || !h.layer4_offset || !(c.sctp.is_over() || is_ended(c))) return false;
  return sctp_packet(frame).chunk == SctpPacket::kInit;
}

}  // namespace

bool track_stage(Frame& frame, Context& ctx) {
  const Headers& h = frame.headers;
  if (!is_tracked(h)) {
    frame.connection = nullptr;
    return true;
  }
  if (h.icmp_error) [[unlikely]]
    return track_error(frame, ctx);
  Connection* c = ctx.connections.find(h, frame.tracker, frame.bucket, ctx.now, ctx.generation->profiles, frame.reply);
  if (c && h.protocol != kUdp && reopens(frame, *c)) {
    ctx.connections.remove(*c);
    c = nullptr;
  }
  if (!c) {
    c = begin(frame, ctx);
    if (!c) return false;
  }
  frame.connection = c;
  return true;
}

}  // namespace headgate
