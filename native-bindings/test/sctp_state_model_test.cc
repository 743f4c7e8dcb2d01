// The SCTP state machine against a plain, slow model, which keeps every packet that was let through and finds each
// answer from all of them anew: both are given random packets, right and wrong. Beside that, what has to hold whatever
// the model says: nothing with a tag that nobody was told, and nothing before an INIT where it is followed strictly.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "tables/sctp_state.h"
#include "test/tcp.h"

namespace headgate::test {
namespace {

using P = SctpPacket;

struct Sent {
  bool side;
  P packet;
};

class Model {
 public:
  TrackingMode mode = TrackingMode::kStrict;

  SctpVerdict judge(const Sent& s) const {
    const bool is_init = s.packet.chunk == P::kInit;
    const SctpState now = state();
    const bool over = now == SctpState::kClosed || now == SctpState::kPicked;
    if (is_init) return s.packet.tag ? SctpVerdict::kBadTag : over ? SctpVerdict::kReopen : SctpVerdict::kOk;
    if (all_.empty()) {
      if (!may_begin(s.packet)) return SctpVerdict::kMidStream;
      return s.packet.tag ? SctpVerdict::kOk : SctpVerdict::kBadTag;
    }
    const std::set<uint32_t> told = tags_of(s.packet.reflected ? !s.side : s.side);
    const bool fits = s.packet.tag != 0 && (told.empty() || told.contains(s.packet.tag));
    return fits ? SctpVerdict::kOk : SctpVerdict::kBadTag;
  }

  void take(const Sent& s) {
    all_.push_back(s);
    states_.push_back(state_behind(all_.size() - 1));
  }

  SctpState state() const { return state_before(all_.size()); }

 private:
  bool may_begin(const P& p) const {
    if (p.chunk == P::kAbort || p.chunk == P::kShutdownComplete) return false;
    if (mode == TrackingMode::kStrict) return false;
    return p.chunk != P::kInitAck || mode == TrackingMode::kLiberal;
  }
  SctpState state_before(size_t i) const { return i ? states_[i - 1] : SctpState::kNone; }
  SctpState state_behind(size_t i) const {
    const P& p = all_[i].packet;
    const SctpState now = state_before(i);
    switch (p.chunk) {
      case P::kInit:
        return is_opening_at(i) ? SctpState::kCookieWait : now;
      case P::kInitAck:
        return is_opening_at(i) ? SctpState::kCookieEchoed : now;
      case P::kCookieAck:
        return SctpState::kEstablished;
      case P::kAbort:
      case P::kShutdownComplete:
        return SctpState::kClosed;
      default:
        break;
    }
    if (p.chunk == P::kCookieEcho && agrees(i)) return SctpState::kCookieEchoed;
    const bool closes = p.chunk == P::kShutdown || p.chunk == P::kShutdownAck;
    if (closes && now == SctpState::kEstablished) return SctpState::kShutdown;
    const auto is_other = [&](const Sent& s) { return s.side != all_[i].side; };
    if (now != SctpState::kNone && now != SctpState::kPicked) return now;
    return std::any_of(all_.begin(), all_.end(), is_other) ? SctpState::kEstablished : SctpState::kPicked;
  }
  // Whether the association has not got as far as an INIT ACK: what opens then opens it, and not another beside it.
  bool is_opening_at(size_t i) const {
    return state_before(i) == SctpState::kNone || state_before(i) == SctpState::kCookieWait;
  }
  // Whether this COOKIE ECHO carries what its side was told last by an opening beside the open association.
  bool agrees(size_t at) const {
    const auto pending = last_told(at, all_[at].side, true);
    return pending && *pending == all_[at].packet.tag;
  }
  // What the side was told last, before `end`: by an opening of its own (the association's first), or beside it.
  std::optional<uint32_t> last_told(size_t end, bool side, bool beside) const {
    std::optional<uint32_t> told;
    for (size_t i = 0; i < end; ++i) {
      const P& p = all_[i].packet;
      if (p.chunk == P::kCookieEcho && agrees(i)) {
        if (beside) told.reset();
        continue;
      }
      if (p.chunk != P::kInit && p.chunk != P::kInitAck) continue;
      if (all_[i].side != side && is_opening_at(i) != beside) told = p.init_tag;
    }
    return told;
  }
  // What packets of the side may carry now; empty: anything.
  std::set<uint32_t> tags_of(bool side) const {
    std::optional<uint32_t> current;
    for (size_t i = 0; i < all_.size(); ++i) {
      const P& p = all_[i].packet;
      if (p.chunk == P::kCookieEcho && agrees(i)) {
        current = last_told(i, side, true);
        if (current == 0u) current.reset();
      }
      if (p.chunk == P::kInit || p.chunk == P::kInitAck) {
        if (all_[i].side != side && is_opening_at(i)) current = p.init_tag;
        continue;
      }
      // What opens, ends or agrees teaches nothing; all else tells what its side was told before anybody looked.
      const bool teaches = p.chunk != P::kCookieAck && p.chunk != P::kAbort && p.chunk != P::kShutdownComplete;
      if (teaches && all_[i].side == side && !current) current = p.tag;
    }
    std::set<uint32_t> tags;
    if (current) tags.insert(*current);
    if (const auto pending = last_told(all_.size(), side, true)) tags.insert(*pending);
    return tags;
  }

  std::vector<Sent> all_;
  std::vector<SctpState> states_;  // behind each
};

Sent random_packet(Random& random, const uint32_t (&tags)[2]) {
  static constexpr uint8_t kChunks[] = {
      P::kData,        P::kData,       P::kInit,      P::kInitAck,          P::kAbort,  P::kShutdown,
      P::kShutdownAck, P::kCookieEcho, P::kCookieAck, P::kShutdownComplete, P::kNoChunk};
  Sent s{random.chance(50), {}};
  s.packet.chunk = kChunks[random.below(std::size(kChunks))];
  // Ends seldom: what comes behind is more to the point.
  if (s.packet.chunk == P::kAbort || s.packet.chunk == P::kShutdownComplete) {
    if (random.chance(80)) s.packet.chunk = P::kData;
    s.packet.reflected = s.packet.chunk != P::kData && random.chance(30);
  }
  const bool opens = s.packet.chunk == P::kInit || s.packet.chunk == P::kInitAck;
  if (opens) s.packet.init_tag = random.chance(70) ? tags[s.side] : 1 + random.below(3);
  s.packet.tag = random.chance(80) ? tags[!s.side] : random.below(5);
  if (s.packet.chunk == P::kInit && random.chance(90)) s.packet.tag = 0;
  return s;
}

TEST_CASE("SCTP: the state machine and the model say the same of random packets") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "SCTP: the state machine*"));
  Random random(seed);
  uint64_t verdicts[static_cast<size_t>(SctpVerdict::kCount)] = {};
  std::set<SctpState> states;
  for (int run = 0; run < 4'000; ++run) {
    Model model;
    SctpTracking tracking{};
    model.mode = static_cast<TrackingMode>(random.below(3));
    std::set<uint32_t> announced;
    uint32_t tags[2] = {100, 200};
    for (int i = 0; i < 30; ++i) {
      if (random.chance(5)) tags[random.below(2)] = 1000 + random.below(4);  // an end that has lost its state
      const Sent s = random_packet(random, tags);
      const SctpVerdict verdict = tracking.judge(s.packet, s.side, model.mode);
      CAPTURE(run);
      CAPTURE(i);
      CAPTURE(static_cast<int>(s.packet.chunk));
      REQUIRE(verdict == model.judge(s));
      ++verdicts[static_cast<size_t>(verdict)];
      if (verdict == SctpVerdict::kReopen) break;
      if (verdict != SctpVerdict::kOk) continue;
      if (s.packet.init_tag) announced.insert(s.packet.init_tag);
      if (model.mode == TrackingMode::kStrict && s.packet.chunk != P::kInit) {
        REQUIRE_FALSE(announced.empty());
      }
      tracking.advance(s.packet, s.side);
      model.take(s);
      REQUIRE(tracking.state == model.state());
      states.insert(tracking.state);
    }
  }
  for (const uint64_t seen : verdicts) CHECK(seen > 100);
  CHECK(states.size() == static_cast<size_t>(SctpState::kCount) - 1);  // all but that of no packet
}

}  // namespace
}  // namespace headgate::test
