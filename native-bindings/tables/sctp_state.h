// The state of an SCTP association as a middlebox can know it (RFC 9260): the verification tag that each side has to
// put into its packets, and how far opening and closing have come.
//
// A side's INIT or INIT ACK says which tag the other has to use. A packet with another tag is none of the
// association's: ends drop it silently (8.5). ABORT and SHUTDOWN COMPLETE may carry the tag of their receiver's own
// packets, and say so. An end that has lost its state opens again with an INIT (5.2.2): its tags count beside those in
// use until a COOKIE ECHO with one of them shows that both agree.
//
// As for TCP, judge() changes nothing, and advance() takes in a packet that was let through.
#pragma once

#include <cstdint>

#include "tables/timeouts.h"

namespace headgate {

struct Frame;

enum class SctpState : uint8_t {
  kNone,          // no packet yet
  kPicked,        // picked up in the middle, one side heard
  kCookieWait,    // the initiator's INIT
  kCookieEchoed,  // an INIT ACK
  kEstablished,
  kShutdown,  // one side has asked to close
  kClosed,
  kCount
};

enum class SctpVerdict : uint8_t {
  kOk,
  kReopen,     // begins a new association in the place of this one, which is over
  kMidStream,  // no association, and it may not begin one
  kBadTag,
  kCount
};

const char* name_of(SctpState state);

// What of a packet counts: its tag and its first chunk, which those that open, abort and close are alone or first with.
struct SctpPacket {
  enum Chunk : uint8_t {
    kData = 0,
    kInit = 1,
    kInitAck = 2,
    kAbort = 6,
    kShutdown = 7,
    kShutdownAck = 8,
    kCookieEcho = 10,
    kCookieAck = 11,
    kShutdownComplete = 14,
    kNoChunk = 255,
  };
  uint32_t tag = 0;
  uint32_t init_tag = 0;     // of INIT and INIT ACK: what the other side has to use
  uint8_t chunk = kNoChunk;  // also of an INIT that is cut off or asks for tag 0
  bool reflected = false;    // ABORT, SHUTDOWN COMPLETE: the tag is that of the receiver's own packets
};

// Of a frame that parse has found to be SCTP and no later fragment. Lengths beyond the common header are checked here.
SctpPacket sctp_packet(const Frame& frame);

// All arrays: of the initiator, of the responder. Tag 0: not known. All zero is an association without a packet.
struct SctpTracking {
  uint32_t tag[2];   // that its packets carry
  uint32_t next[2];  // likewise, once the association that is opening again is open
  SctpState state;
  uint8_t heard;  // by side: bit 0 the initiator

  SctpVerdict judge(const SctpPacket& packet, bool reply, TrackingMode mode) const;
  void advance(const SctpPacket& packet, bool reply);
  bool is_over() const { return state == SctpState::kClosed || state == SctpState::kPicked; }

 private:
  bool knows(uint32_t given, bool side) const;
};

}  // namespace headgate
