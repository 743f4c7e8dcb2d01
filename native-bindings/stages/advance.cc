// Moves the state of a connection on, and notes time and counts, for frames that were let through; and drops those that
// do not fit the state: TCP by sequence numbers and windows (tables/tcp_state.h), SCTP by verification tags
// (tables/sctp_state.h). How closely, is said by the section whose rule has judged the connection: its profile.
//
// The rest is UDP and the like, one-way until both sides were heard. A TCP connection picked up in the middle counts as
// opening until both sides were heard, so that nobody can fill the table with records that are never evicted.
//
// An ICMP error has been found to be about the connection, and changes nothing.
#include <bit>

#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {
namespace {

TimeoutClass class_of(const TcpTracking& tcp) {
  switch (tcp.state) {
    case TcpState::kEstablished:
    case TcpState::kFinWait:  // half-closed connections may work on for long
    case TcpState::kCloseWait:
      return TimeoutClass::kTcpEstablished;
    case TcpState::kLastAck:
    case TcpState::kTimeWait:
    case TcpState::kReset:
      return TimeoutClass::kClosing;
    default:
      return TimeoutClass::kTcpOpening;
  }
}

TimeoutClass class_of(const SctpTracking& sctp) {
  if (sctp.state == SctpState::kClosed) return TimeoutClass::kClosing;
  const bool open = sctp.state == SctpState::kEstablished || sctp.state == SctpState::kShutdown;
  return open ? TimeoutClass::kOtherTwoWay : TimeoutClass::kOtherOneWay;
}

TimeoutClass class_of(const PlainTracking& plain, uint8_t protocol) {
  const bool two_way = plain.heard == 3;
  switch (protocol) {
    case kUdp:
      return two_way ? TimeoutClass::kUdpTwoWay : TimeoutClass::kUdpOneWay;
    case kIcmp:
    case kIcmp6:
      return two_way ? TimeoutClass::kIcmpTwoWay : TimeoutClass::kIcmpOneWay;
    default:
      return two_way ? TimeoutClass::kOtherTwoWay : TimeoutClass::kOtherOneWay;
  }
}

Reason reason_of(TcpVerdict verdict) {
  switch (verdict) {
    case TcpVerdict::kMidStream:
      return Reason::kTcpMidStream;
    case TcpVerdict::kBadFlags:
      return Reason::kTcpUnexpectedFlags;
    case TcpVerdict::kOutOfWindow:
      return Reason::kTcpOutOfWindow;
    case TcpVerdict::kBadAck:
      return Reason::kTcpBadAck;
    case TcpVerdict::kBadReset:
      return Reason::kTcpBadReset;
    default:
      return Reason::kNone;
  }
}

TrackingMode mode_of(const Connection& c, const Context& ctx) {
  return ctx.generation->profiles[c.profile()].mode;
}

// A frame that may not begin a connection leaves none behind.
[[gnu::noinline]] bool refuse_state(const Frame& frame, Context& ctx, Connection& c, Reason reason, bool is_new) {
  if (is_new) ctx.connections.remove(c);
  return drop(ctx, frame, reason);
}

[[gnu::noinline]] void change_class(Connection& c, TimeoutClass timeout_class, Context& ctx) {
  ctx.connections.touch(c, timeout_class, ctx.now);
}

// Both verdicts at once: every frame asks.
bool has_helper(const Connection& c) {
  constexpr uint64_t kHelpers =
      std::bit_cast<uint64_t>(Verdict{.helper = Helper{3}}) ^ std::bit_cast<uint64_t>(Verdict{});
  return (std::bit_cast<uint64_t>(c.verdict[0]) | std::bit_cast<uint64_t>(c.verdict[1])) & kHelpers;
}

bool advance_tcp(const Frame& frame, Context& ctx, Connection& c) {
  constexpr uint32_t kMostPayload = 65535;
  TcpSegment segment = tcp_segment(frame);
  const TcpVerdict verdict = c.tcp.judge(segment, frame.reply, mode_of(c, ctx));
  if (verdict != TcpVerdict::kOk) {
    const Reason reason = reason_of(verdict);
    return reason == Reason::kNone || refuse_state(frame, ctx, c, reason, c.tcp.state == TcpState::kNone);
  }
  // What later fragments bring is not seen: it may be as much as a datagram holds.
  if (frame.headers.fragment) [[unlikely]]
    segment.length = kMostPayload;
  if (has_helper(c)) [[unlikely]]
    read_ftp(frame, ctx, c, segment);
  const TcpState before = c.tcp.state;
  c.tcp.advance(segment, frame.reply);
  c.last_seen = ctx.now;
  // (One that was denied meanwhile has to be put back into its class.)
  if (c.tcp.state != before || c.timeout_class() == TimeoutClass::kDenied) change_class(c, class_of(c.tcp), ctx);
  return true;
}

[[gnu::noinline]] bool advance_sctp(const Frame& frame, Context& ctx, Connection& c) {
  const SctpPacket packet = sctp_packet(frame);
  const SctpVerdict verdict = c.sctp.judge(packet, frame.reply, mode_of(c, ctx));
  const bool is_new = c.sctp.state == SctpState::kNone;
  if (verdict == SctpVerdict::kMidStream) return refuse_state(frame, ctx, c, Reason::kSctpMidStream, is_new);
  if (verdict == SctpVerdict::kBadTag) return refuse_state(frame, ctx, c, Reason::kSctpBadTag, is_new);
  c.sctp.advance(packet, frame.reply);
  change_class(c, class_of(c.sctp), ctx);
  return true;
}

void advance_plain(const Frame& frame, Context& ctx, Connection& c) {
  const uint8_t side = frame.reply ? 2 : 1;
  if (c.protocol == kUdp && has_helper(c)) [[unlikely]]
    read_tftp(frame, ctx, c);
  c.last_seen = ctx.now;
  if ((c.plain.heard & side) && c.timeout_class() != TimeoutClass::kDenied) return;
  c.plain.heard |= side;
  change_class(c, class_of(c.plain, c.protocol), ctx);
}

// Later fragments of TCP and SCTP have nothing to be judged by but their flow.
bool advance_state(const Frame& frame, Context& ctx, Connection& c) {
  const bool has_state = c.protocol == kTcp || c.protocol == kSctp;
  if (has_state && frame.headers.layer4_offset)
    return c.protocol == kTcp ? advance_tcp(frame, ctx, c) : advance_sctp(frame, ctx, c);
  if (!has_state) advance_plain(frame, ctx, c);
  return true;
}

}  // namespace

bool advance_stage(Frame& frame, Context& ctx) {
  if (!frame.connection || frame.headers.icmp_error) return true;
  Connection& c = *frame.connection;
  if (!advance_state(frame, ctx, c)) return false;
  c.tally[frame.reply] += frame.headers.wire_packets;
  c.bytes[frame.reply] += frame.length;
  return true;
}

}  // namespace headgate
