// The state of a TCP connection as a middlebox can know it: what each side has sent, acknowledged and may send, and
// what of it a segment may change. After Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2001), RFC
// 9293, RFC 7323 (window scale), RFC 2018 (SACK), RFC 5961 (resets).
//
// judge() says what to do with a segment and changes nothing; advance() takes in one that was let through. So a segment
// that a rule drops moves no state.
//
// What is let through is what the receiving end could take, as far as that shows here: a hole in what passed this way,
// a reordered or repeated segment is no fault. Segments that change nothing but that an end has to answer (RFC 5961: a
// SYN in a connection, a reset that is not exact) go on, since the answer is what tells the truth: kUnchanged.
#pragma once

#include <cstdint>

#include "tables/timeouts.h"

namespace headgate {

struct Frame;

enum class TcpState : uint8_t {
  kNone,         // no segment yet
  kPicked,       // picked up in the middle, one side heard
  kSynSent,      // the initiator's SYN
  kSynCrossed,   // a SYN of either side (simultaneous open)
  kSynReceived,  // a SYN-ACK
  kEstablished,
  kFinWait,    // a FIN of one side
  kCloseWait,  // and it was acknowledged
  kLastAck,    // a FIN of either side
  kTimeWait,   // and both were acknowledged
  kReset,
  kCount
};

enum class TcpVerdict : uint8_t {
  kOk,           // goes on: advance()
  kUnchanged,    // goes on, and changes nothing
  kReopen,       // begins a new connection in the place of this one, which is over
  kMidStream,    // no connection, and it may not begin one
  kBadFlags,     // flags that do not fit the state
  kOutOfWindow,  // data that the receiver cannot take
  kBadAck,       // acknowledges what was not sent, or was long ago
  kBadReset,     // a reset outside the window, or of a handshake that is not the one going on
  kCount
};

const char* name_of(TcpState state);
const char* name_of(TcpVerdict verdict);

// A segment; a super-frame is one with all its payload.
struct TcpSegment {
  static constexpr uint8_t kNoScale = 15;

  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  uint32_t length = 0;  // of the payload
  uint32_t sack = 0;    // the highest edge of its SACK blocks, where it `has_sack`
  uint16_t window = 0;  // as it stands in the header
  uint8_t flags = 0;    // TcpFlag
  uint8_t scale = kNoScale;
  bool sack_permitted = false;
  bool has_sack = false;

  // The sequence number behind it: SYN and FIN take one each.
  uint32_t end() const;
};

// Of a frame that parse has found to be TCP and no later fragment.
TcpSegment tcp_segment(const Frame& frame);

// All arrays: of the initiator, of the responder.
struct TcpTracking {
  uint32_t end[2] = {};     // the highest sequence number that it has sent, and one
  uint32_t limit[2] = {};   // up to which the other side has let it send
  uint32_t ack[2] = {};     // the highest that it has acknowledged
  uint16_t window[2] = {};  // the widest it has offered, in units of its scale
  uint8_t scale[2] = {};    // kNoScale until the handshake has told, where it offered none
  TcpState state = TcpState::kNone;
  uint8_t heard : 2 = 0;  // by side: bit 0 the initiator
  uint8_t acked : 2 = 0;  // its `ack` is known
  uint8_t fin : 2 = 0;
  uint8_t sack : 2 = 0;  // it may be sent SACK blocks

  TcpVerdict judge(const TcpSegment& segment, bool reply, TrackingMode mode) const;
  void advance(const TcpSegment& segment, bool reply);
  // Whether a SYN begins another connection in its place.
  bool is_over() const {
    return state == TcpState::kPicked || state == TcpState::kTimeWait || state == TcpState::kReset;
  }
  // Whether the side may have sent a packet that begins so, which an ICMP error says it has (RFC 5927, 4).
  bool may_have_sent(uint32_t sequence, bool side) const;

 private:
  TcpVerdict judge_first(const TcpSegment& s, TrackingMode mode) const;
  TcpVerdict judge_syn(const TcpSegment& s, bool side) const;
  TcpVerdict judge_syn_ack(const TcpSegment& s, bool side, TrackingMode mode) const;
  TcpVerdict judge_reset(const TcpSegment& s, bool side) const;
  TcpVerdict judge_data(const TcpSegment& s, bool side, TrackingMode mode) const;
  TcpVerdict judge_window(const TcpSegment& s, bool side) const;
  void begin_side(const TcpSegment& s, bool side);
  void pick_up(const TcpSegment& s, bool side);
  void note(const TcpSegment& s, bool side);
  void follow(const TcpSegment& s, bool side);
  void note_ack(const TcpSegment& s, bool side, bool teaches);
  TcpState next_state() const;

  bool has_heard(bool side) const { return heard >> side & 1; }
  bool has_acked(bool side) const { return acked >> side & 1; }
  bool is_limited(bool side) const { return has_acked(!side) || has_heard(!side); }  // `limit` is known
  bool fin_acked(bool side) const;
  uint32_t window_bytes(bool side) const;
};

static_assert(sizeof(TcpTracking) == 32, "a connection's record has room for so much");

}  // namespace headgate
