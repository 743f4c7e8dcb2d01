// Finds or makes the connection record of a frame. A SYN on a connection that is over begins a new one. A workload that
// is at one of its limits begins none.
//
// With the first new flow of a batch, what all its new flows ask of the rules is looked up: together they wait for
// memory once (tables/lookup.h). The classify stage judges them one by one and finds the answers in the memo.
#include <utility>

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
    if (!is_tracked(h) || ctx.connections.peek(h, frame->tracker)) continue;
    FlowHeaders& flow = flows[flow_count++] = {h.source,   h.destination, h.source_port, h.destination_port,
                                               h.protocol, h.icmp_type,   h.icmp_code};
    questions[count++] = {frame->source_workload, Direction::kOut, &flow};
    if (frame->destination) questions[count++] = {frame->destination_workload, Direction::kIn, &flow};
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

// The record of a new flow, on the account of the workload that sent this frame; null if it was dropped.
[[gnu::noinline]] Connection* begin(Frame& frame, Context& ctx) {
  frame.reply = false;
  const uint16_t account = ctx.connections.accounts().number_of(frame.source_workload);
  const Reason over = over_limit(ctx.connections, account, ctx.now);
  if (over != Reason::kNone) {
    drop(ctx, frame, over);
    return nullptr;
  }
  if (!ctx.ahead.empty()) look_ahead(ctx);
  Connection* c = ctx.connections.insert(frame.headers, frame.tracker, ctx.now, account);
  if (!c) {  // full, perhaps of records that are past their time
    ctx.connections.expire(ctx.now, ctx.generation->timeouts, 1);
    c = ctx.connections.insert(frame.headers, frame.tracker, ctx.now, account);
  }
  if (!c) drop(ctx, frame, Reason::kConnectionsFull);
  return c;
}

}  // namespace

bool track_stage(Frame& frame, Context& ctx) {
  const Headers& h = frame.headers;
  if (!is_tracked(h)) {
    frame.connection = nullptr;
    return true;
  }
  Connection* c = ctx.connections.find(h, frame.tracker, frame.bucket, ctx.now, ctx.generation->timeouts, frame.reply);
  bool begins = (h.tcp_flags & (kSyn | kAck)) == kSyn;
  // A record that this millisecond has used may be held by another frame of the batch.
  if (c && begins && is_over(*c) && c->last_seen != ctx.now) {
    ctx.connections.remove(*c);
    c = nullptr;
  }
  if (!c) {
    c = begin(frame, ctx);
    if (!c) return false;
  }
  c->last_seen = ctx.now;
  frame.connection = c;
  return true;
}

}  // namespace headgate
