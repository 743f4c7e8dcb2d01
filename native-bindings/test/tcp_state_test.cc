// The rules of tables/tcp_state.h, one by one: how connections begin, work and end, and what is not part of them.
#include "tables/tcp_state.h"

#include <doctest/doctest.h>

#include "packet/parse.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr bool kClient = false, kServer = true;
constexpr uint32_t kClientIsn = 0xfffffff0, kServerIsn = 5000;  // the client's numbers go round soon

TcpSegment segment(uint8_t flags, uint32_t sequence, uint32_t acknowledgement = 0, uint32_t length = 0,
                   uint16_t window = 1000) {
  TcpSegment s;
  s.flags = flags;
  s.sequence = sequence;
  s.acknowledgement = acknowledgement;
  s.length = length;
  s.window = window;
  return s;
}

// A connection under test. Numbers count from each side's initial one.
struct Flow {
  TrackingMode mode = TrackingMode::kStrict;
  TcpTracking t{};

  std::string judge(bool side, const TcpSegment& s) const { return name_of(t.judge(s, side, mode)); }
  std::string send(bool side, const TcpSegment& s) {
    const TcpVerdict verdict = t.judge(s, side, mode);
    if (verdict == TcpVerdict::kOk) t.advance(s, side);
    return name_of(verdict);
  }
  std::string send(bool side, uint8_t flags, uint32_t sequence, uint32_t acknowledgement = 0, uint32_t length = 0,
                   uint16_t window = 1000) {
    return send(side, at(side, flags, sequence, acknowledgement, length, window));
  }
  static TcpSegment at(bool side, uint8_t flags, uint32_t sequence, uint32_t acknowledgement = 0, uint32_t length = 0,
                       uint16_t window = 1000) {
    const uint32_t own = side ? kServerIsn : kClientIsn, other = side ? kClientIsn : kServerIsn;
    return segment(flags, own + sequence, flags & kAck ? other + acknowledgement : 0, length, window);
  }
  std::string state() const { return name_of(t.state); }

  // `scale`: of both sides, TcpSegment::kNoScale for none.
  static Flow open(uint8_t scale = TcpSegment::kNoScale, TrackingMode mode = TrackingMode::kStrict) {
    Flow f{mode};
    TcpSegment syn = at(kClient, kSyn, 0), answer = at(kServer, kSyn | kAck, 0, 1);
    syn.scale = answer.scale = scale;
    syn.sack_permitted = answer.sack_permitted = true;
    CHECK(f.send(kClient, syn) == "ok");
    CHECK(f.state() == "syn-sent");
    CHECK(f.send(kServer, answer) == "ok");
    CHECK(f.state() == "syn-received");
    CHECK(f.send(kClient, kAck, 1, 1) == "ok");
    CHECK(f.state() == "established");
    return f;
  }
};

TEST_CASE("a connection opens, works and closes") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kAck | kPsh, 1, 1, 500) == "ok");
  CHECK(f.send(kServer, kAck, 1, 501, 1000) == "ok");
  CHECK(f.send(kClient, kAck | kFin, 501, 1001) == "ok");
  CHECK(f.state() == "fin-wait");
  CHECK(f.send(kServer, kAck, 1001, 502) == "ok");
  CHECK(f.state() == "close-wait");
  CHECK(f.send(kServer, kAck, 1001, 502, 900) == "ok");  // half-closed: it may go on sending
  CHECK(f.send(kClient, kAck, 502, 1901) == "ok");
  CHECK(f.state() == "close-wait");
  CHECK(f.send(kServer, kAck | kFin, 1901, 502) == "ok");
  CHECK(f.state() == "last-ack");
  CHECK(f.send(kClient, kAck, 502, 1902) == "ok");
  CHECK(f.state() == "time-wait");
  CHECK(f.send(kServer, kAck | kFin, 1901, 502) == "ok");  // the last acknowledgement was lost
  CHECK(f.state() == "time-wait");
}

TEST_CASE("both sides close at once") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kAck | kFin, 1, 1) == "ok");
  CHECK(f.send(kServer, kAck | kFin, 1, 1) == "ok");
  CHECK(f.state() == "last-ack");
  CHECK(f.send(kClient, kAck, 2, 2) == "ok");
  CHECK(f.state() == "last-ack");
  CHECK(f.send(kServer, kAck, 2, 2) == "ok");
  CHECK(f.state() == "time-wait");
}

TEST_CASE("both sides open at once (RFC 9293, 3.5)") {
  Flow f;
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kServer, kSyn, 0) == "ok");
  CHECK(f.state() == "syn-crossed");
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kServer, kSyn, 50) == "unchanged");
  CHECK(f.send(kClient, kAck, 1, 1) == "bad-flags");
  CHECK(f.send(kClient, kSyn | kAck, 0, 5) == "bad-ack");
  CHECK(f.send(kClient, kSyn | kAck, 0, 1) == "ok");
  CHECK(f.state() == "syn-received");
  CHECK(f.send(kServer, kSyn | kAck, 0, 1) == "ok");
  CHECK(f.state() == "established");
  CHECK(f.send(kServer, kAck, 1, 1, 100) == "ok");
}

TEST_CASE("a SYN may come again, and another one before it is answered") {
  Flow f;
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kClient, kSyn, 70) == "ok");
  CHECK(f.send(kServer, kSyn | kAck, 0, 1) == "bad-ack");
  CHECK(f.send(kServer, kSyn | kAck, 0, 71) == "ok");
  CHECK(f.send(kServer, kSyn | kAck, 0, 71) == "ok");
  CHECK(f.send(kServer, kSyn | kAck, 9, 71) == "bad-flags");
  CHECK(f.send(kClient, kSyn, 70) == "unchanged");
  CHECK(f.state() == "syn-received");
  CHECK(f.send(kClient, kAck, 71, 0) == "bad-ack");  // it has to acknowledge the answer's very number
  CHECK(f.send(kClient, kAck, 71, 1) == "ok");
  CHECK(f.send(kServer, kSyn | kAck, 0, 71) == "ok");
  CHECK(f.state() == "established");
}

TEST_CASE("a SYN may carry data, which its answer may acknowledge or not (RFC 7413)") {
  for (uint32_t acked : {1u, 101u}) {
    Flow f;
    CHECK(f.send(kClient, kSyn, 0, 0, 100) == "ok");
    CHECK(f.judge(kServer, Flow::at(kServer, kSyn | kAck, 0, 0)) == "bad-ack");
    CHECK(f.judge(kServer, Flow::at(kServer, kSyn | kAck, 0, 102)) == "bad-ack");
    CHECK(f.send(kServer, kSyn | kAck, 0, acked) == "ok");
    CHECK(f.send(kServer, kAck, 1, acked, 800) == "ok");  // before the handshake is done
    CHECK(f.send(kClient, kAck, 1, 1, 100) == "ok");
    CHECK(f.state() == "established");
  }
}

TEST_CASE("data beyond the window is refused, by either side") {
  Flow f = Flow::open();
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1001, 1, 1)) == "ok");  // a probe of the window's edge
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1002, 1, 0)) == "ok");  // what follows it
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1003, 1, 1)) == "out-of-window");
  CHECK(f.judge(kServer, Flow::at(kServer, kAck, 1003, 1, 1)) == "out-of-window");
  CHECK(f.send(kServer, kAck, 1, 1, 0, 3000) == "ok");  // the window opens
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 3002, 1, 1)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 3003, 1, 1)) == "out-of-window");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 0x80000000, 1, 1)) == "out-of-window");
}

TEST_CASE("data that came again may be as old as a window, and older if the receiver is to say that it has it") {
  Flow f = Flow::open();
  for (uint32_t i = 0; i < 5; ++i) {
    CHECK(f.send(kClient, kAck, 1 + i * 1000, 1, 1000) == "ok");
    CHECK(f.send(kServer, kAck, 1, 1001 + i * 1000) == "ok");
  }
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 4001, 1, 1000)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 3001, 1, 1000)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 3001, 1, 998)) == "unchanged");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 4000u - 66'000, 1)) == "unchanged");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 3999u - 66'000, 1)) == "out-of-window");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 5000, 1, 0)) == "ok");  // keep-alive
}

TEST_CASE("a hole in what passes is no fault") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kAck, 501, 1, 100) == "ok");
  CHECK(f.send(kServer, kAck, 1, 1) == "ok");
  CHECK(f.send(kClient, kAck, 1, 1, 500) == "ok");
  CHECK(f.send(kServer, kAck, 1, 601) == "ok");
}

TEST_CASE("what was not sent cannot be acknowledged, nor what was long ago") {
  Flow f = Flow::open(7);
  CHECK(f.judge(kServer, Flow::at(kServer, kAck, 1, 2)) == "bad-ack");
  for (uint32_t at = 1; at < 200'001; at += 50'000) {
    CHECK(f.send(kServer, kAck, at, 1, 50'000) == "ok");
    CHECK(f.send(kClient, kAck, 1, at + 50'000) == "ok");
  }
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1, 200'001)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1, 200'002)) == "bad-ack");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1, 200'001 - 128'000)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 1, 200'000 - 128'000)) == "bad-ack");
}

TEST_CASE("windows are scaled when both sides say so") {
  CHECK(Flow::open(7).judge(kClient, Flow::at(kClient, kAck, 1001, 1, 9)) == "ok");
  Flow f = Flow::open(7);
  CHECK(f.send(kServer, kAck, 1, 1) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 128'002, 1, 60'000)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 128'003, 1, 1)) == "out-of-window");
  for (bool by_client : {false, true}) {
    Flow one;
    TcpSegment syn = Flow::at(kClient, kSyn, 0), answer = Flow::at(kServer, kSyn | kAck, 0, 1);
    (by_client ? syn : answer).scale = 7;
    CHECK(one.send(kClient, syn) == "ok");
    CHECK(one.send(kServer, answer) == "ok");
    CHECK(one.send(kClient, kAck, 1, 1) == "ok");
    CHECK(one.send(kServer, kAck, 1, 1) == "ok");
    CHECK(one.judge(kClient, Flow::at(kClient, kAck, 1003, 1, 1)) == "out-of-window");
  }
}

TEST_CASE("SACK blocks are held to what was sent, where both sides agreed on them") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kAck, 501, 1, 100) == "ok");
  TcpSegment s = Flow::at(kServer, kAck, 1, 1);
  s.has_sack = true;
  s.sack = kClientIsn + 601;
  CHECK(f.judge(kServer, s) == "ok");
  s.sack = kClientIsn + 602;
  CHECK(f.judge(kServer, s) == "bad-ack");
  f.t.sack = 1;
  CHECK(f.judge(kServer, s) == "ok");
}

TEST_CASE("a reset counts when its number is the one expected, goes on in the window, and no further (RFC 5961)") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kAck, 1, 1, 100) == "ok");
  CHECK(f.send(kServer, kAck, 1, 51) == "ok");
  const auto reset = [&](uint32_t sequence) { return f.judge(kClient, Flow::at(kClient, kRst, sequence)); };
  CHECK(reset(50) == "bad-reset");
  CHECK(reset(51) == "ok");   // acknowledged so far
  CHECK(reset(101) == "ok");  // sent so far
  CHECK(reset(52) == "unchanged");
  CHECK(reset(1051) == "unchanged");
  CHECK(reset(1052) == "bad-reset");
  CHECK(f.send(kClient, kRst, 52) == "unchanged");
  CHECK(f.state() == "established");
  CHECK(f.send(kClient, kRst, 101) == "ok");
  CHECK(f.state() == "reset");
  CHECK(f.send(kServer, kAck, 1, 101) == "ok");  // the other end may not have taken it
  CHECK(f.send(kServer, kRst, 77777) == "unchanged");
  CHECK(f.state() == "reset");
}

TEST_CASE("a reset of a handshake has to answer it") {
  Flow f;
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kServer, kRst, 0) == "bad-reset");
  CHECK(f.send(kServer, kRst | kAck, 0, 2) == "bad-reset");
  CHECK(f.send(kServer, kRst | kAck, 0xabcdef, 1) == "ok");  // a closed port's has any number
  CHECK(f.state() == "reset");
  Flow g;
  CHECK(g.send(kClient, kSyn, 0) == "ok");
  CHECK(g.send(kServer, kSyn | kAck, 0, 1) == "ok");
  CHECK(g.send(kServer, kRst, 77777) == "bad-reset");
  CHECK(g.send(kServer, kRst, 7) == "unchanged");
  CHECK(g.send(kClient, kRst, 1) == "ok");  // a scanner's
}

TEST_CASE("a SYN in a connection goes on and changes nothing: its answer tells the truth") {
  Flow f = Flow::open();
  CHECK(f.send(kClient, kSyn, 99999) == "unchanged");
  CHECK(f.send(kServer, kSyn, 99999) == "unchanged");
  CHECK(f.state() == "established");
  CHECK(f.send(kServer, kAck, 1, 1) == "ok");  // its answer, at which a client that began anew sends a reset:
  CHECK(f.send(kClient, kRst, 1) == "ok");
  CHECK(f.send(kClient, kSyn, 99999) == "reopen");
}

TEST_CASE("an answer to a SYN from a connection that only the responder knows goes on, and so does the reset") {
  Flow f;
  CHECK(f.send(kClient, kSyn, 0) == "ok");
  CHECK(f.send(kServer, kAck, 70'000, 80'000) == "unchanged");
  CHECK(f.state() == "syn-sent");
  CHECK(f.send(kClient, kRst, 80'000) == "ok");
}

TEST_CASE("a connection that is over gives way to a new one, from either side") {
  Flow f = Flow::open();
  f.send(kClient, kAck | kFin, 1, 1);
  f.send(kServer, kAck | kFin, 1, 2);
  CHECK(f.send(kClient, kSyn, 500) == "unchanged");
  f.send(kClient, kAck, 2, 2);
  REQUIRE(f.state() == "time-wait");
  CHECK(f.send(kClient, kSyn, 500) == "reopen");
  CHECK(f.send(kServer, kSyn, 500) == "reopen");
}

TEST_CASE("what begins a connection depends on the mode") {
  const uint8_t firsts[] = {kSyn, kSyn | kAck, kAck, kAck | kFin, kRst, kRst | kAck};
  const std::vector<std::string> expected[] = {
      {"ok", "mid-stream", "mid-stream", "mid-stream", "mid-stream", "mid-stream"},
      {"ok", "mid-stream", "ok", "ok", "mid-stream", "mid-stream"},
      {"ok", "ok", "ok", "ok", "mid-stream", "mid-stream"},
  };
  for (int mode = 0; mode < 3; ++mode)
    for (size_t i = 0; i < std::size(firsts); ++i) {
      CAPTURE(mode);
      CAPTURE(i);
      Flow f{static_cast<TrackingMode>(mode)};
      CHECK(f.send(kClient, firsts[i], 100, 100) == expected[mode][i]);
    }
}

TEST_CASE("a connection that is picked up is held to windows as far as they are known") {
  Flow f{TrackingMode::kPickup};
  CHECK(f.send(kServer, kAck, 100, 100, 50) == "ok");
  CHECK(f.state() == "picked");
  CHECK(f.send(kServer, kAck, 900'000, 100'000, 50) == "ok");  // the other side is not heard: its answers go elsewhere
  CHECK(f.send(kClient, kAck, 100'000, 900'050, 10) == "ok");
  CHECK(f.state() == "established");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 100'010, 900'051)) == "bad-ack");
  const uint32_t oldest = 100'009 - (1000u << 14);  // by the widest scale
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, oldest, 900'050)) == "ok");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, oldest - 1, 900'050)) == "unchanged");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, oldest - 1 - (1000u << 14), 900'050)) == "out-of-window");
  CHECK(f.judge(kClient, Flow::at(kClient, kAck, 10'000'000, 900'050, 1)) == "ok");
  CHECK(f.send(kClient, kRst, 5) == "bad-reset");
}

TEST_CASE("a liberal connection takes data from anywhere, and resets as ever; one way alone is as picked up") {
  Flow f = Flow::open(TcpSegment::kNoScale, TrackingMode::kLiberal);
  CHECK(f.send(kClient, kAck, 0x40000000, 1, 10) == "ok");
  CHECK(f.send(kServer, kRst, 0x40000000) == "bad-reset");
  for (TrackingMode mode : {TrackingMode::kPickup, TrackingMode::kLiberal}) {
    Flow one_way{mode};
    CHECK(one_way.send(kClient, kSyn, 0) == "ok");
    CHECK(one_way.send(kClient, kAck, 1, 1) == "ok");
    CHECK(one_way.state() == "picked");
    CHECK(one_way.send(kClient, kAck, 1, 1, 5000) == "ok");
  }
  Flow strict;
  CHECK(strict.send(kClient, kSyn, 0) == "ok");
  CHECK(strict.send(kClient, kAck, 1, 1) == "bad-flags");
  CHECK(strict.send(kClient, kSyn | kAck, 0, 1) == "bad-flags");
}

TEST_CASE("a segment is read from its frame, a super-frame as one") {
  for (bool v6 : {false, true}) {
    Packet p;
    if (v6) p.source = "fd00::1", p.destination = "fd00::2";
    p.protocol = kTcp;
    p.tcp_flags = kSyn | kAck;
    p.sequence = 0x12345678, p.acknowledgement = 0x9abcdef0;
    p.tcp_options = {2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 9, 0, 0};
    p.payload = Bytes(3);
    const auto read = [&] {
      Bytes bytes = p.bytes();
      bytes.resize(bytes.size() + 5);  // padding
      Frame frame;
      frame.buffer = frame.data = bytes.data();
      frame.length = static_cast<uint32_t>(bytes.size());
      if (p.partial) frame.offload = p.super_offload(1000);
      REQUIRE(parse(frame) == Reason::kNone);
      return tcp_segment(frame);
    };
    TcpSegment s = read();
    CHECK(s.sequence == 0x12345678);
    CHECK(s.acknowledgement == 0x9abcdef0);
    CHECK(s.window == 1024);
    CHECK(s.flags == (kSyn | kAck));
    CHECK(s.length == 3);
    CHECK(s.end() == 0x12345678 + 4);
    CHECK(s.scale == 9);
    CHECK(s.sack_permitted);
    CHECK_FALSE(s.has_sack);
    p.tcp_options[9] = 200;
    CHECK(read().scale == 14);
    p.tcp_flags = kAck;
    p.payload = Bytes(40'000);
    p.partial = true;
    p.tcp_options = {1, 1, 5, 18, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    s = read();
    CHECK(s.length == 40'000);
    CHECK(s.has_sack);
    CHECK(s.sack == 0x100);  // behind 0xffffff00
    CHECK(s.scale == TcpSegment::kNoScale);
    p.tcp_options = {5, 18, 0, 0};  // runs beyond the header
    CHECK_FALSE(read().has_sack);
  }
}

}  // namespace
}  // namespace headgate::test
