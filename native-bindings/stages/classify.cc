// The firewall. The record caches the verdict of each of its two workloads; a verdict counts only for the workload and
// the epoch it was reached at, and is reached again otherwise. Both must allow: the initiator's `out` index and the
// responder's `in` index, each asked about the flow as it began, whichever way this frame runs. A flow that crosses
// Headgate once more, between other workloads, is judged by those too (tables/crossings.h).
//
// What crosses an edge pair is judged in one place, the tracker: by `out` where the flow runs from south to north,
// whichever way this frame does, and by `in` where it runs the other way. So the verdict is found whichever bridge a
// frame crosses by.
#include <optional>
#include <utility>

#include "packet/parse.h"
#include "stages/stage.h"
#include "tables/decide.h"

namespace headgate {
namespace {

enum Side { kInitiator = 0, kResponder = 1 };

void log_match(Context& ctx, Hit& hit, const Rule& rule, const FlowHeaders& flow) {
  if (!hit.take_log_token(ctx.now)) {
    ++hit.log_suppressed;
    return;
  }
  LogLine line{ctx.now, hit.entry, hit.workload, hit.log_suppressed, hit.direction, rule.action, rule.observe, flow};
  if (ctx.log.push(line))
    hit.log_suppressed = 0;
  else
    ++ctx.counters.totals.log_lost;
}

// By the rules for the connection that has announced this one, where the rule that decides there asks for that.
[[gnu::noinline]] std::optional<Decision> decide_as_parent(Context& ctx, const Connection& c, Direction direction,
                                                           uint32_t place) {
  const Helpers::Held* held = ctx.helpers.find(ctx.connections, c);
  if (!held) return {};
  FlowHeaders flow = ctx.connections.flow_of(c);
  if (held->parent.turned) {
    std::swap(flow.source, flow.destination);
    direction = direction == Direction::kIn ? Direction::kOut : Direction::kIn;
  }
  flow.source_port = held->parent.source_port;
  flow.destination_port = held->parent.destination_port;
  Decision d = decide(ctx, place, direction, flow);
  if (std::exchange(d.helper, Helper::kNone) == Helper::kNone) return {};
  return d;
}

Decision decide_at(Context& ctx, const Connection& c, Side side, uint32_t place) {
  const Direction direction = side == kInitiator ? Direction::kOut : Direction::kIn;
  if (c.verdict[side].expected) [[unlikely]]
    if (const auto d = decide_as_parent(ctx, c, direction, place)) return *d;
  return decide(ctx, place, direction, ctx.connections.flow_of(c));
}

// Judges the connection at one side again, under the on-change rule of its former verdict.
[[gnu::noinline]] void judge(Context& ctx, Connection& c, Side side, const Workload& w, uint32_t place) {
  Verdict& verdict = c.verdict[side];
  if (verdict.epoch != 0 && ctx.hits[verdict.hit].workload != w.serial) {
    const bool expected = verdict.expected;
    verdict = ctx.crossings.exchange(ctx.connections, c, side);
    verdict.expected = expected;
    if (is_ended(c)) verdict.action = Action::kDrop;
    if (verdict.epoch == ctx.generation->epochs[place]) return;
  }
  const Hit& former = ctx.hits[verdict.hit];
  bool same_workload = verdict.epoch != 0 && former.workload == w.serial;
  bool was_allowed = same_workload && verdict.action == Action::kAllow;
  if (was_allowed && verdict.on_change == OnChange::kKeep) {
    verdict.epoch = ctx.generation->epochs[place];
    return;
  }
  const Decision d = decide_at(ctx, c, side, place);
  verdict.profile = d.profile;
  // What the receiving side's section says goes before what the sending side's does.
  const uint8_t profile = c.verdict[kResponder].profile ? c.verdict[kResponder].profile : c.verdict[kInitiator].profile;
  ctx.connections.set_profile(c, profile, ctx.now);
  if (was_allowed && d.action != Action::kAllow && verdict.on_change == OnChange::kReset) {
    ctx.connections.touch(c, TimeoutClass::kEnded, ctx.now);
    c.verdict[1 - side].action = Action::kDrop;
  }
  verdict.epoch = ctx.generation->epochs[place];
  verdict.hit = d.hit;
  verdict.action = is_ended(c) ? Action::kDrop : d.action;
  verdict.on_change = d.on_change;
  verdict.by_rule = d.by_rule;
  verdict.helper = d.helper;
}

// Whether the connection has a verdict of that workload, at one crossing or the other.
bool was_judged(const Context& ctx, const Connection& c, Side side, const Workload& w) {
  const auto is_of = [&](const Verdict& v) { return v.epoch != 0 && ctx.hits[v.hit].workload == w.serial; };
  return is_of(c.verdict[side]) || is_of(ctx.crossings.kept(ctx.connections, c, side));
}

Reason reason_of(const Connection& c, Side side) {
  if (is_ended(c)) return Reason::kConnectionReset;
  if (c.verdict[side].action == Action::kReject) return Reason::kPolicyReject;
  return c.verdict[side].by_rule ? Reason::kPolicyDrop : Reason::kDefaultDrop;
}

// Drops a frame that the side does not allow, and answers it if the rule says so.
[[gnu::noinline]] bool refuse(Frame& frame, Context& ctx, Side side, uint32_t place) {
  Connection& c = *frame.connection;
  ctx.connections.touch(c, is_ended(c) ? TimeoutClass::kEnded : TimeoutClass::kDenied, ctx.now);
  if (is_ended(c))
    answer_reset(ctx, frame);
  else if (c.verdict[side].action == Action::kReject)
    answer_reject(ctx, frame);
  return drop(ctx, frame, place, reason_of(c, side), side == kInitiator ? Direction::kOut : Direction::kIn);
}

[[gnu::always_inline]] inline bool admit(Frame& frame, Context& ctx, Connection& c, Side side, const Workload& w,
                                         uint32_t place, const uint32_t* epochs) {
  if (c.verdict[side].epoch != epochs[place]) {
    judge(ctx, c, side, w, place);
    if (ctx.generation->services && !frame.bridge && !frame.headers.icmp_error) choose_service(frame, ctx, c);
  }
  count_hit(ctx, c.verdict[side].hit, frame);
  return c.verdict[side].action == Action::kAllow || refuse(frame, ctx, side, place);
}

}  // namespace

Decision decide(Context& ctx, uint32_t workload, Direction direction, const FlowHeaders& flow) {
  const uint32_t serial = ctx.workload(workload).serial;
  uint32_t place = 0;
  auto note = [&](const IndexEntry& entry) {
    place = ctx.hits.place(entry.serial, serial, direction);
    Hit& hit = ctx.hits[place];
    ++hit.flows;
    hit.last_seen = ctx.now;
    if (entry.rule->log) log_match(ctx, hit, *entry.rule, flow);
  };
  auto first_match = [&](uint64_t from) {
    return ctx.memo.first_match(*ctx.generation->lookup, workload, direction, flow, from);
  };
  if (const IndexEntry* entry = deciding_entry(first_match, note))
    return {entry->rule->action, entry->rule->on_change, place, true, entry->profile, entry->rule->helper};
  place = ctx.hits.place(0, serial, direction);
  ++ctx.hits[place].flows;
  // What is behind a remote has its firewall on its own host.
  const Action action = ctx.workload(workload).remote ? Action::kAllow : ctx.generation->default_action;
  return {action, OnChange::kReevaluate, place, false, 0, Helper::kNone};
}

bool is_initiator(const Frame& frame, const Context& ctx, const Workload& w) {
  return frame.reply && was_judged(ctx, *frame.connection, kInitiator, w);
}

bool admit_to_initiator(Frame& frame, Context& ctx, uint32_t place) {
  return admit(frame, ctx, *frame.connection, kInitiator, ctx.workload(place), place, ctx.generation->epochs.data());
}

bool admit_alone(Frame& frame, Context& ctx, uint32_t place, Direction direction) {
  const Headers& h = frame.headers;
  FlowHeaders flow{h.source, h.destination, h.source_port, h.destination_port, h.protocol, h.icmp_type, h.icmp_code};
  Decision d = decide(ctx, place, direction, flow);
  count_hit(ctx, d.hit, frame);
  if (frame.trace) [[unlikely]]
    note_decision(ctx, *frame.trace, place, d);
  if (d.action == Action::kAllow) return true;
  // Nobody is told that one of many receivers refused, nor that an error was (RFC 1122, 3.2.2).
  return drop(ctx, frame, place, d.by_rule ? Reason::kPolicyDrop : Reason::kDefaultDrop, direction);
}

// An ICMP error is related: where the connection that it is about was judged, that verdict counts. Elsewhere, as at a
// router, it is judged as what it is.
[[gnu::noinline]] bool classify_error(Frame& frame, Context& ctx) {
  const auto admit_at = [&](Side side, const Workload& w, uint32_t place, Direction direction) {
    if (!was_judged(ctx, *frame.connection, side, w)) return admit_alone(frame, ctx, place, direction);
    return admit(frame, ctx, *frame.connection, side, w, place, ctx.generation->epochs.data());
  };
  const Side sender = frame.reply ? kResponder : kInitiator, receiver = frame.reply ? kInitiator : kResponder;
  if (!admit_at(sender, *frame.source, frame.source_workload, Direction::kOut)) return false;
  return !frame.destination || admit_at(receiver, *frame.destination, frame.destination_workload, Direction::kIn);
}

[[gnu::noinline]] bool classify_at_edge(Frame& frame, Context& ctx) {
  const uint32_t place = frame.bridge->judge;
  const Workload& tracker = ctx.workload(place);
  const Side side = edge_direction(frame, frame.reply) == Direction::kOut ? kInitiator : kResponder;
  if (frame.headers.icmp_error && !was_judged(ctx, *frame.connection, side, tracker))
    return admit_alone(frame, ctx, place, edge_direction(frame, false));
  return admit(frame, ctx, *frame.connection, side, tracker, place, ctx.generation->epochs.data());
}

bool classify_stage(Frame& frame, Context& ctx) {
  if (!frame.connection) return true;
  if (frame.bridge) [[unlikely]]
    return classify_at_edge(frame, ctx);
  if (frame.headers.icmp_error) [[unlikely]]
    return classify_error(frame, ctx);
  Connection& c = *frame.connection;
  Side sender = frame.reply ? kResponder : kInitiator;
  const uint32_t* epochs = ctx.generation->epochs.data();  // read once for both sides
  if (!admit(frame, ctx, c, sender, *frame.source, frame.source_workload, epochs)) return false;
  // Where a frame goes to many, each receiver is asked as it is queued (forward.cc).
  if (!frame.destination) return true;
  const Side receiver = frame.reply ? kInitiator : kResponder;
  return admit(frame, ctx, c, receiver, *frame.destination, frame.destination_workload, epochs);
}

}  // namespace headgate
