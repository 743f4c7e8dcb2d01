#include "tables/tcp_state.h"

#include <algorithm>

#include "packet/frame.h"
#include "packet/wire.h"

namespace headgate {
namespace {

// Sequence numbers go round (RFC 9293, 3.4).
bool before(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}
bool within(uint32_t low, uint32_t number, uint32_t high) {
  return !before(number, low) && !before(high, number);
}
uint32_t later(uint32_t a, uint32_t b) {
  return before(a, b) ? b : a;
}

// An acknowledgement may be older than its side's last one by so much (RFC 5961, 5), or by its window where that is
// wider; and what has been acknowledged may come again.
constexpr uint32_t kOldestAck = 66000;
// A probe goes one byte beyond a window that is shut, and what follows begins behind it.
constexpr uint32_t kProbe = 1;
constexpr uint8_t kWidestScale = 14;  // RFC 7323, 2.3
constexpr uint32_t kWidestWindow = 1u << 30;

enum OptionKind : uint8_t { kEndOfOptions = 0, kNoOperation = 1, kScale = 3, kSackPermitted = 4, kSack = 5 };

void read_sack(TcpSegment& s, const uint8_t* blocks, const uint8_t* end) {
  for (; end - blocks >= 8; blocks += 8) {
    const uint32_t edge = load32(blocks + 4);
    s.sack = s.has_sack ? later(s.sack, edge) : edge;
    s.has_sack = true;
  }
}

void read_options(TcpSegment& s, const uint8_t* option, const uint8_t* end) {
  while (option < end && *option != kEndOfOptions) {
    if (*option == kNoOperation) {
      ++option;
      continue;
    }
    if (end - option < 2 || option[1] < 2 || option[1] > end - option) return;
    const uint8_t kind = option[0], size = option[1];
    if (s.flags & kSyn && kind == kScale && size == 3) s.scale = std::min(option[2], kWidestScale);
    if (s.flags & kSyn && kind == kSackPermitted) s.sack_permitted = true;
    if (kind == kSack) read_sack(s, option + 2, option + size);
    option += size;
  }
}

uint16_t in_units(uint32_t bytes, uint8_t scale) {
  return static_cast<uint16_t>(std::min((bytes + (1u << scale) - 1) >> scale, 65535u));
}

}  // namespace

const char* name_of(TcpState state) {
  static constexpr const char* kNames[] = {"none",         "picked",      "syn-sent", "syn-crossed",
                                           "syn-received", "established", "fin-wait", "close-wait",
                                           "last-ack",     "time-wait",   "reset"};
  static_assert(std::size(kNames) == static_cast<size_t>(TcpState::kCount));
  return kNames[static_cast<size_t>(state)];
}

const char* name_of(TcpVerdict verdict) {
  static constexpr const char* kNames[] = {"ok",        "unchanged",     "reopen",  "mid-stream",
                                           "bad-flags", "out-of-window", "bad-ack", "bad-reset"};
  static_assert(std::size(kNames) == static_cast<size_t>(TcpVerdict::kCount));
  return kNames[static_cast<size_t>(verdict)];
}

uint32_t TcpSegment::end() const {
  return sequence + length + (flags & kSyn ? 1 : 0) + (flags & kFin ? 1 : 0);
}

TcpSegment tcp_segment(const Frame& frame) {
  const Headers& h = frame.headers;
  const uint8_t* tcp = frame.data + h.layer4_offset;
  TcpSegment s;
  s.sequence = load32(tcp + 4);
  s.acknowledgement = load32(tcp + 8);
  s.flags = h.tcp_flags;
  s.window = load16(tcp + 14);
  s.length = h.layer3_offset + h.layer3_length - h.payload_offset;
  // Most segments have a time stamp alone.
  const uint32_t options = h.payload_offset - h.layer4_offset - kTcpHeader;
  constexpr uint32_t kTimeStampAlone = 0x0101080a;
  if (options && !(options == 12 && load32(tcp + kTcpHeader) == kTimeStampAlone))
    read_options(s, tcp + kTcpHeader, tcp + kTcpHeader + options);
  return s;
}

TcpVerdict TcpTracking::judge(const TcpSegment& s, bool reply, TrackingMode mode) const {
  if (state == TcpState::kEstablished && !(s.flags & (kSyn | kRst)) && mode != TrackingMode::kLiberal)
    return judge_window(s, reply);
  if (state == TcpState::kNone) return judge_first(s, mode);
  if (s.flags & kRst) return judge_reset(s, reply);
  if (!(s.flags & kSyn)) return judge_data(s, reply, mode);
  return s.flags & kAck ? judge_syn_ack(s, reply, mode) : judge_syn(s, reply);
}

TcpVerdict TcpTracking::judge_first(const TcpSegment& s, TrackingMode mode) const {
  const bool syn = s.flags & kSyn, ack = s.flags & kAck;
  if (syn && !ack) return TcpVerdict::kOk;
  if (s.flags & kRst || mode == TrackingMode::kStrict || (syn && mode == TrackingMode::kPickup))
    return TcpVerdict::kMidStream;
  return TcpVerdict::kOk;
}

TcpVerdict TcpTracking::judge_syn(const TcpSegment& s, bool side) const {
  switch (state) {
    case TcpState::kSynSent:  // again, anew, or across the other's
      return TcpVerdict::kOk;
    case TcpState::kSynCrossed:
      return s.end() == end[side] ? TcpVerdict::kOk : TcpVerdict::kUnchanged;
    // Time stamps let an end take a SYN of any number (RFC 6191), and the new connection is judged as any other is.
    default:
      return is_over() ? TcpVerdict::kReopen : TcpVerdict::kUnchanged;
  }
}

TcpVerdict TcpTracking::judge_syn_ack(const TcpSegment& s, bool side, TrackingMode mode) const {
  const bool acks_syn = within(ack[side], s.acknowledgement, end[!side]);
  switch (state) {
    case TcpState::kSynSent:
      if (!side) return TcpVerdict::kBadFlags;
      return acks_syn ? TcpVerdict::kOk : TcpVerdict::kBadAck;
    case TcpState::kSynCrossed:
    case TcpState::kSynReceived:
      if (s.sequence + 1 != ack[!side] && !has_acked(!side)) return TcpVerdict::kBadFlags;
      return acks_syn ? TcpVerdict::kOk : TcpVerdict::kBadAck;
    default:  // once more, since its answer was lost
      return judge_data(s, side, mode);
  }
}

// Ends take a reset with the very number that they expect, and answer others in their window (RFC 5961, 3.2). What the
// receiver expects is what it has acknowledged last, or, where its acknowledgement has not come by, what was sent last.
TcpVerdict TcpTracking::judge_reset(const TcpSegment& s, bool side) const {
  const bool opening = state == TcpState::kSynSent || state == TcpState::kSynCrossed;
  if (opening && s.flags & kAck && within(ack[side], s.acknowledgement, end[!side])) return TcpVerdict::kOk;
  if (state == TcpState::kSynSent) return side ? TcpVerdict::kBadReset : TcpVerdict::kOk;
  if (has_acked(!side) && s.sequence == ack[!side]) return TcpVerdict::kOk;
  if (has_heard(side) && s.sequence == end[side]) return TcpVerdict::kOk;
  if (state == TcpState::kReset || state == TcpState::kTimeWait) return TcpVerdict::kUnchanged;  // nothing to lose
  const uint32_t low = has_acked(!side) ? ack[!side] : end[side];
  const bool in_window = is_limited(side) && within(low, s.sequence, limit[side]);
  return in_window ? TcpVerdict::kUnchanged : TcpVerdict::kBadReset;
}

TcpVerdict TcpTracking::judge_data(const TcpSegment& s, bool side, TrackingMode mode) const {
  // A SYN may meet a connection that only the responder knows: its answer has to reach the initiator (RFC 9293, 3.5.1).
  if (state == TcpState::kSynSent && side) return TcpVerdict::kUnchanged;
  if (state == TcpState::kReset && heard != 3) return TcpVerdict::kBadFlags;  // it was never one
  if (mode == TrackingMode::kLiberal) return TcpVerdict::kOk;
  if (state == TcpState::kSynSent && mode == TrackingMode::kPickup) return TcpVerdict::kOk;  // the SYN was an old one
  if (state == TcpState::kSynSent || state == TcpState::kSynCrossed) return TcpVerdict::kBadFlags;
  if (heard == 3) return judge_window(s, side);
  // Picked up: the first of each side teaches.
  const bool beyond = is_limited(side) && before(limit[side] + kProbe, s.sequence);
  return beyond ? TcpVerdict::kOutOfWindow : TcpVerdict::kOk;
}

// Of a connection whose both sides were heard.
TcpVerdict TcpTracking::judge_window(const TcpSegment& s, bool side) const {
  if (before(limit[side] + kProbe, s.sequence)) return TcpVerdict::kOutOfWindow;
  if (before(end[!side], s.acknowledgement)) return TcpVerdict::kBadAck;
  if (s.has_sack && sack == 3 && before(end[!side], s.sack)) return TcpVerdict::kBadAck;
  const uint32_t oldest = has_acked(side) ? ack[side] - std::max(kOldestAck, window_bytes(side)) : ack[side];
  if (before(s.acknowledgement, oldest)) return TcpVerdict::kBadAck;
  const uint32_t left = end[side] - kProbe - window_bytes(!side);  // the receiver has all that is older
  if (!before(s.end(), left)) return TcpVerdict::kOk;
  // It answers with an acknowledgement, which the sender may have missed.
  return before(s.end(), left - std::max(kOldestAck, window_bytes(!side))) ? TcpVerdict::kOutOfWindow
                                                                           : TcpVerdict::kUnchanged;
}

void TcpTracking::advance(const TcpSegment& s, bool side) {
  if (state == TcpState::kEstablished && !(s.flags & (kSyn | kFin | kRst))) return follow(s, side);
  const bool syn = s.flags & kSyn;
  if (s.flags & kRst) {
    state = TcpState::kReset;
  } else if (syn && !(s.flags & kAck)) {
    if (state == TcpState::kSynCrossed) return;
    if (side == 0) *this = {};
    begin_side(s, side);
    state = side ? TcpState::kSynCrossed : TcpState::kSynSent;
  } else if (state == TcpState::kNone || (state == TcpState::kSynSent && !side)) {
    pick_up(s, side);
  } else if (syn && (state == TcpState::kSynSent || state == TcpState::kSynCrossed)) {
    if (!has_heard(side)) begin_side(s, side);
    note(s, side);
    state = TcpState::kSynReceived;
    state = next_state();
  } else {
    note(s, side);
    state = next_state();
  }
}

// The SYN or SYN-ACK of a side. Their windows are not scaled.
void TcpTracking::begin_side(const TcpSegment& s, bool side) {
  heard |= 1u << side;
  sack |= s.sack_permitted << side;
  scale[side] = s.scale;
  window[side] = s.window;
  end[side] = limit[side] = s.end();
  if (!has_acked(!side)) ack[!side] = s.sequence + 1;  // what it has to acknowledge at least
  if (!has_heard(!side)) return;
  for (int i : {0, 1}) limit[i] = later(limit[i], end[i] + window[!i]);
  const bool scaled = scale[0] != TcpSegment::kNoScale && scale[1] != TcpSegment::kNoScale;
  for (int i : {0, 1}) {
    if (!scaled) scale[i] = 0;
    window[i] = in_units(window[i], scale[i]);
  }
}

// Scale and window were told before: as if they were the widest, so that nothing right is refused.
void TcpTracking::pick_up(const TcpSegment& s, bool side) {
  *this = {};
  scale[0] = scale[1] = kWidestScale;
  sack = 3;
  note(s, side);
  state = next_state();
}

// What a segment that was let through says of its sender and of what the other side may send.
void TcpTracking::note(const TcpSegment& s, bool side) {
  const bool teaches = heard != 3, is_known = is_limited(side) || has_heard(side);
  end[side] = is_known ? later(end[side], s.end()) : s.end();
  if (s.flags & kFin) fin |= 1u << side;
  if (s.flags & kAck) note_ack(s, side, teaches);
  heard |= 1u << side;
}

// The same where all is known.
void TcpTracking::follow(const TcpSegment& s, bool side) {
  end[side] = later(end[side], s.end());
  limit[!side] = later(limit[!side], s.acknowledgement + (uint32_t{s.window} << scale[side]));
  ack[side] = later(ack[side], s.acknowledgement);
  window[side] = std::max(window[side], s.window);
}

void TcpTracking::note_ack(const TcpSegment& s, bool side, bool teaches) {
  const bool other = !side, is_known = is_limited(other) || has_heard(other);
  const uint32_t offered = s.flags & kSyn ? s.window : uint32_t{s.window} << scale[side];
  const uint32_t edge = s.acknowledgement + (teaches ? kWidestWindow : offered);
  limit[other] = is_limited(other) ? later(limit[other], edge) : edge;
  if (teaches) end[other] = is_known ? later(end[other], s.acknowledgement) : s.acknowledgement;
  ack[side] = has_acked(side) ? later(ack[side], s.acknowledgement) : s.acknowledgement;
  acked |= 1u << side;
  window[side] = std::max(window[side], in_units(offered, scale[side]));
}

TcpState TcpTracking::next_state() const {
  if (state == TcpState::kReset || state == TcpState::kTimeWait) return state;
  const bool acked_fins[2] = {fin_acked(0), fin_acked(1)};
  if (fin == 3) return acked_fins[0] && acked_fins[1] ? TcpState::kTimeWait : TcpState::kLastAck;
  if (fin) return acked_fins[0] || acked_fins[1] ? TcpState::kCloseWait : TcpState::kFinWait;
  if (heard == 3 && acked == 3) return TcpState::kEstablished;
  return state == TcpState::kNone ? TcpState::kPicked : state;
}

bool TcpTracking::may_have_sent(uint32_t sequence, bool side) const {
  if (!has_heard(side)) return true;  // of this side nothing is known
  return within(end[side] - kProbe - std::max(kOldestAck, window_bytes(!side)), sequence, end[side]);
}

bool TcpTracking::fin_acked(bool side) const {
  return fin >> side & 1 && has_acked(!side) && !before(ack[!side], end[side]);
}

// At least one, for probes of a window that was never open.
uint32_t TcpTracking::window_bytes(bool side) const {
  return std::max(uint32_t{window[side]} << scale[side], 1u);
}

}  // namespace headgate
