#include "tables/sctp_state.h"

#include <iterator>

#include "packet/frame.h"
#include "packet/wire.h"

namespace headgate {

const char* name_of(SctpState state) {
  static constexpr const char* kNames[] = {"none",        "picked",   "cookie-wait", "cookie-echoed",
                                           "established", "shutdown", "closed"};
  static_assert(std::size(kNames) == static_cast<size_t>(SctpState::kCount));
  return kNames[static_cast<size_t>(state)];
}

SctpPacket sctp_packet(const Frame& frame) {
  constexpr uint32_t kChunkHeader = 4, kInitChunk = 20;
  const Headers& h = frame.headers;
  SctpPacket p;
  p.tag = load32(frame.data + h.layer4_offset + 4);
  const uint8_t* chunk = frame.data + h.payload_offset;
  const uint32_t left = h.layer3_offset + h.layer3_length - h.payload_offset;
  if (left < kChunkHeader) return p;
  const bool opens = chunk[0] == SctpPacket::kInit || chunk[0] == SctpPacket::kInitAck;
  if (opens) {
    if (left < kInitChunk || load16(chunk + 2) < kInitChunk || load32(chunk + 4) == 0) return p;
    p.init_tag = load32(chunk + 4);
  }
  p.chunk = chunk[0];
  p.reflected = (chunk[0] == SctpPacket::kAbort || chunk[0] == SctpPacket::kShutdownComplete) && (chunk[1] & 1);
  return p;
}

// Whether packets of the side may carry the tag: one that it was told, or any where nobody has heard it told one.
bool SctpTracking::knows(uint32_t given, bool side) const {
  if (given == 0) return false;
  return given == tag[side] || given == next[side] || (!tag[side] && !next[side]);
}

SctpVerdict SctpTracking::judge(const SctpPacket& p, bool side, TrackingMode mode) const {
  if (p.chunk == SctpPacket::kInit) {
    if (p.tag != 0) return SctpVerdict::kBadTag;
    return is_over() ? SctpVerdict::kReopen : SctpVerdict::kOk;
  }
  if (state == SctpState::kNone) {
    const bool ends = p.chunk == SctpPacket::kAbort || p.chunk == SctpPacket::kShutdownComplete;
    const bool answers = p.chunk == SctpPacket::kInitAck;
    if (ends || mode == TrackingMode::kStrict || (answers && mode == TrackingMode::kPickup))
      return SctpVerdict::kMidStream;
    return p.tag ? SctpVerdict::kOk : SctpVerdict::kBadTag;
  }
  if (p.reflected) return knows(p.tag, !side) ? SctpVerdict::kOk : SctpVerdict::kBadTag;
  return knows(p.tag, side) ? SctpVerdict::kOk : SctpVerdict::kBadTag;
}

void SctpTracking::advance(const SctpPacket& p, bool side) {
  heard |= static_cast<uint8_t>(1u << side);
  const bool opening = state == SctpState::kNone || state == SctpState::kCookieWait;
  switch (p.chunk) {
    case SctpPacket::kInit:
      (opening ? tag : next)[!side] = p.init_tag;
      if (opening) state = SctpState::kCookieWait;
      return;
    case SctpPacket::kInitAck:
      (opening ? tag : next)[!side] = p.init_tag;
      if (opening) state = SctpState::kCookieEchoed;
      return;
    case SctpPacket::kCookieEcho:
      if (p.tag == next[side]) {
        for (int i : {0, 1}) tag[i] = next[i], next[i] = 0;
        state = SctpState::kCookieEchoed;
      }
      break;
    case SctpPacket::kCookieAck:
      state = SctpState::kEstablished;
      return;
    case SctpPacket::kAbort:
    case SctpPacket::kShutdownComplete:
      state = SctpState::kClosed;
      return;
    case SctpPacket::kShutdown:
    case SctpPacket::kShutdownAck:
      if (state == SctpState::kEstablished) state = SctpState::kShutdown;
      break;
    default:
      break;
  }
  if (!tag[side]) tag[side] = p.tag;  // picked up: what it carries is what it was told
  if (state == SctpState::kNone) state = SctpState::kPicked;
  if (state == SctpState::kPicked && heard == 3) state = SctpState::kEstablished;
}

}  // namespace headgate
