// Moves the state of a connection on, and notes time and counts, for frames that were let through.
//
// TCP follows the exchange of SYN, ACK, FIN and RST (RFC 9293, 3.3.2) without windows, which are a later step. A
// connection picked up in the middle, or heard from one side only, counts as opening until both sides were heard, so
// that nobody can fill the table with records that are never evicted.
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {
namespace {

using State = ConnectionState;

State next_tcp_state(Connection& c, uint8_t flags, bool reply) {
  if (flags & kRst) return State::kReset;
  if (flags & kFin) c.fin |= reply ? 2u : 1u;
  switch (c.state) {
    case State::kNew:
      return flags & kSyn && !(flags & kAck) ? State::kSynSent : State::kOneWay;
    case State::kSynSent:
      return reply && flags & kSyn ? State::kSynReceived : c.state;
    case State::kSynReceived:
      if (!reply && flags & kAck) return c.fin ? State::kFinSent : State::kEstablished;
      return c.state;
    case State::kOneWay:
      return reply ? State::kEstablished : c.state;
    case State::kEstablished:
    case State::kFinSent:
      return c.fin == 3 ? State::kClosing : c.fin ? State::kFinSent : c.state;
    default:
      return c.state;
  }
}

TimeoutClass class_of(const Connection& c) {
  switch (c.state) {
    case State::kSynSent:
    case State::kSynReceived:
      return TimeoutClass::kTcpOpening;
    case State::kEstablished:
    case State::kFinSent:  // half-closed connections may work on for long
      return TimeoutClass::kTcpEstablished;
    case State::kClosing:
    case State::kReset:
      return TimeoutClass::kTcpClosing;
    default:
      break;
  }
  bool two_way = c.state == State::kTwoWay;
  switch (c.protocol) {
    case kTcp:
      return TimeoutClass::kTcpOpening;
    case kUdp:
      return two_way ? TimeoutClass::kUdpTwoWay : TimeoutClass::kUdpOneWay;
    case kIcmp:
    case kIcmp6:
      return two_way ? TimeoutClass::kIcmpTwoWay : TimeoutClass::kIcmpOneWay;
    default:
      return two_way ? TimeoutClass::kOtherTwoWay : TimeoutClass::kOtherOneWay;
  }
}

[[gnu::noinline]] void move_on(Connection& c, const Frame& frame, Context& ctx) {
  if (c.protocol == kTcp && frame.headers.layer4_offset)
    c.state = next_tcp_state(c, frame.headers.tcp_flags, frame.reply);
  else if (c.protocol != kTcp)
    c.state = frame.reply || c.state == State::kTwoWay ? State::kTwoWay : State::kOneWay;
  ctx.connections.touch(c, class_of(c), ctx.now);
}

// Whether the frame finds the connection at work, and leaves it as it is. (One that was denied meanwhile has to be put
// back into its timeout class.)
bool stays(const Connection& c, const Frame& frame) {
  const auto is_open = [&] {
    return c.state == State::kEstablished && !c.fin && !(frame.headers.tcp_flags & (kFin | kRst));
  };
  return (c.state == State::kTwoWay || is_open()) && c.timeout_class != TimeoutClass::kDenied;
}

}  // namespace

bool advance_stage(Frame& frame, Context& ctx) {
  if (!frame.connection) return true;
  Connection& c = *frame.connection;
  if (!stays(c, frame)) move_on(c, frame, ctx);
  c.packets[frame.reply] += frame.headers.wire_packets;
  c.bytes[frame.reply] += frame.length;
  return true;
}

}  // namespace headgate
