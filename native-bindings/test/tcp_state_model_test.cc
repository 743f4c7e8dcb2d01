// The TCP state machine against a plain, slow model, which keeps every segment that was let through, finds each answer
// from all of them anew, and counts in 64 bits, which do not go round: both are given random segments, right and wrong.
//
// HEADGATE_TEST_TCP=1000000 native-tests -tc='TCP: *'    so many segments each, else 100,000
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "test/tcp.h"

namespace headgate::test {
namespace {

class Model {
 public:
  TrackingMode mode = TrackingMode::kStrict;

  TcpVerdict judge(const Segment& s) const {
    using V = TcpVerdict;
    const TcpState now = state();
    const bool opening = now == TcpState::kSynSent || now == TcpState::kSynCrossed;
    if (all_.empty()) {
      if (s.is(kRst)) return V::kMidStream;
      if (s.is(kSyn) && !s.is(kAck)) return V::kOk;
      return mode == TrackingMode::kLiberal || (mode == TrackingMode::kPickup && !s.is(kSyn)) ? V::kOk : V::kMidStream;
    }
    const auto acked = acknowledged(s.side);
    const int64_t least = acked ? *acked : syn(!s.side) ? syn(!s.side)->sequence + 1 : INT64_MAX;
    const bool answers_syn = s.is(kAck) && s.acknowledgement >= least && s.acknowledgement <= sent(!s.side);
    if (s.is(kRst)) {
      if (opening && answers_syn) return V::kOk;
      if (now == TcpState::kSynSent) return s.side ? V::kBadReset : V::kOk;
      const auto expected = acknowledged(!s.side);
      if (s.sequence == expected || (heard(s.side) && s.sequence == sent(s.side))) return V::kOk;
      if (now == TcpState::kReset || now == TcpState::kTimeWait) return V::kUnchanged;
      const int64_t low = expected.value_or(sent(s.side));
      const bool limited = expected || heard(!s.side);
      return limited && s.sequence >= low && s.sequence <= limit(s.side) ? V::kUnchanged : V::kBadReset;
    }
    if (s.is(kSyn) && !s.is(kAck)) {
      if (now == TcpState::kSynSent) return V::kOk;
      if (now == TcpState::kSynCrossed) return s.end() == sent(s.side) ? V::kOk : V::kUnchanged;
      const bool over = now == TcpState::kPicked || now == TcpState::kTimeWait || now == TcpState::kReset;
      return over ? V::kReopen : V::kUnchanged;
    }
    if (s.is(kSyn) && (opening || now == TcpState::kSynReceived)) {
      if (now == TcpState::kSynSent && s.side == 0) return V::kBadFlags;
      const bool again = !syn(s.side) || s.sequence == syn(s.side)->sequence || acknowledged(!s.side);
      if (!again) return V::kBadFlags;
      return answers_syn ? V::kOk : V::kBadAck;
    }
    if (now == TcpState::kSynSent && s.side == 1) return V::kUnchanged;
    if (now == TcpState::kReset && !(heard(0) && heard(1))) return V::kBadFlags;
    if (mode == TrackingMode::kLiberal) return V::kOk;
    if (opening) return now == TcpState::kSynSent && mode == TrackingMode::kPickup ? V::kOk : V::kBadFlags;
    const bool other = !s.side;
    if ((acknowledged(other) || heard(other)) && s.sequence > limit(s.side) + 1) return V::kOutOfWindow;
    if (!heard(0) || !heard(1)) return V::kOk;
    if (s.acknowledgement > sent(other) || (s.sack && sacks() && *s.sack > sent(other))) return V::kBadAck;
    const int64_t oldest = acked ? *acked - std::max<int64_t>(66'000, window(s.side)) : least;
    if (s.acknowledgement < oldest) return V::kBadAck;
    const int64_t width = std::max<int64_t>(window(other), 1), age = sent(s.side) - 1 - s.end();
    return age <= width ? V::kOk : age <= width + std::max<int64_t>(66'000, width) ? V::kUnchanged : V::kOutOfWindow;
  }

  void accept(const Segment& s) {
    const bool anew = state() == TcpState::kSynSent && s.side == 0 && !s.is(kRst);
    if (anew) all_.clear();
    if (state() == TcpState::kSynCrossed && s.is(kSyn) && !s.is(kAck)) return;
    all_.push_back(s);
    over_ |= state() == TcpState::kTimeWait;
  }

  TcpState state() const {
    if (all_.empty()) return TcpState::kNone;
    if (over_) return any([](const Segment& s) { return s.is(kRst); }) ? TcpState::kReset : TcpState::kTimeWait;
    if (any([](const Segment& s) { return s.is(kRst); })) return TcpState::kReset;
    const bool fin[2] = {finished(0), finished(1)}, acked[2] = {fin_acked(0), fin_acked(1)};
    if (fin[0] && fin[1]) return acked[0] && acked[1] ? TcpState::kTimeWait : TcpState::kLastAck;
    if (fin[0] || fin[1]) return acked[0] || acked[1] ? TcpState::kCloseWait : TcpState::kFinWait;
    if (heard(0) && heard(1) && acknowledged(0) && acknowledged(1)) return TcpState::kEstablished;
    if (picked()) return TcpState::kPicked;
    if (any([](const Segment& s) { return s.is(kSyn) && s.is(kAck); })) return TcpState::kSynReceived;
    return heard(1) ? TcpState::kSynCrossed : TcpState::kSynSent;
  }

 private:
  bool any(auto&& holds) const { return std::any_of(all_.begin(), all_.end(), holds); }
  bool heard(bool side) const {
    return any([&](const Segment& s) { return s.side == side && !s.is(kRst); });
  }
  bool picked() const { return !all_[0].is(kSyn) || all_[0].is(kAck); }
  const Segment* syn(bool side) const {
    if (picked()) return nullptr;
    for (const Segment& s : all_)
      if (s.side == side && s.is(kSyn)) return &s;
    return nullptr;
  }
  std::optional<int64_t> acknowledged(bool side) const {
    std::optional<int64_t> most;
    for (const Segment& s : all_)
      if (s.side == side && s.is(kAck) && !s.is(kRst))
        most = std::max(most.value_or(s.acknowledgement), s.acknowledgement);
    return most;
  }
  // Of a connection that was picked up, the first segments of each side say where the other one is.
  bool teaches(const Segment& s) const {
    if (!picked()) return false;
    bool before[2] = {};
    for (const Segment* at = all_.data(); at != &s; ++at) before[at->side] |= !at->is(kRst);
    return !before[0] || !before[1];
  }
  int64_t sent(bool side) const {
    int64_t most = INT64_MIN;
    for (const Segment& s : all_) {
      if (s.is(kRst)) continue;
      if (s.side == side) most = std::max(most, s.end());
      if (s.side != side && s.is(kAck) && teaches(s)) most = std::max(most, s.acknowledgement);
    }
    return most;
  }
  int scale(bool side) const {
    if (picked()) return 14;
    if (!syn(0) || !syn(1) || syn(0)->scale == TcpSegment::kNoScale || syn(1)->scale == TcpSegment::kNoScale) return 0;
    return syn(side)->scale;
  }
  bool sacks() const { return picked() || (syn(0) && syn(1) && syn(0)->sack_permitted && syn(1)->sack_permitted); }
  int64_t offer(const Segment& s) const { return s.is(kSyn) ? s.window : int64_t{s.window} << scale(s.side); }
  int64_t window(bool side) const {
    const int64_t unit = int64_t{1} << scale(side);
    int64_t most = 0;
    for (const Segment& s : all_)
      if (s.side == side && !s.is(kRst)) most = std::max(most, (offer(s) + unit - 1) / unit * unit);
    return most;
  }
  int64_t limit(bool side) const {
    int64_t most = syn(side) ? syn(side)->end() : INT64_MIN;
    if (syn(side) && syn(!side)) most += syn(!side)->window;
    for (const Segment& s : all_)
      if (s.side != side && s.is(kAck) && !s.is(kRst))
        most = std::max(most, s.acknowledgement + (teaches(s) ? int64_t{1} << 30 : offer(s)));
    return most;
  }
  bool finished(bool side) const {
    return any([&](const Segment& s) { return s.side == side && s.is(kFin); });
  }
  bool fin_acked(bool side) const {
    return finished(side) && acknowledged(!side) && *acknowledged(!side) >= sent(side);
  }

  std::vector<Segment> all_;
  bool over_ = false;
};

// Segments about a connection, most of them near to what the ends would send: as the state of a model that believes
// everything moves on.
class Noise {
 public:
  explicit Noise(Random& random) : random_(random) {
    for (int64_t& at : next_) at = (int64_t{1} << 32) * 4 + random.between(-70'000, 70'000);
  }
  Segment make() {
    const bool side = random_.chance(50);
    Segment s{side, flags(), near(next_[side]), near(next_[!side]), 0, static_cast<uint16_t>(1 + random_.below(65535))};
    if (random_.chance(40)) s.window = static_cast<uint16_t>(random_.below(200));
    if (random_.chance(40)) s.length = random_.below(random_.chance(10) ? 65'000 : 1500);
    if (random_.chance(70)) s.scale = static_cast<uint8_t>(random_.below(15));
    s.sack_permitted = random_.chance(70);
    if (random_.chance(10)) s.sack = near(next_[!side]);
    if (s.is(kSyn) && random_.chance(80)) s.sequence = next_[side], s.length = random_.chance(20) ? 100 : 0;
    return s;
  }
  void sent(const Segment& s) {
    if (std::abs(s.end() - next_[s.side]) < 200'000) next_[s.side] = std::max(next_[s.side], s.end());
  }

 private:
  uint8_t flags() {
    if (begun_++ < 3 || random_.chance(4)) return random_.chance(50) ? kSyn : kSyn | kAck;
    if (random_.chance(4)) return random_.chance(50) ? kRst : kRst | kAck;
    return random_.chance(8) ? kFin | kAck : kAck;
  }
  int64_t near(int64_t at) {
    if (random_.chance(60)) return at;
    if (random_.chance(60)) return at + random_.between(-2000, 2000);
    return at + random_.between(-150'000, 150'000);
  }
  Random& random_;
  int64_t next_[2];
  int begun_ = 0;
};

TEST_CASE("TCP: random segments are judged as a plain model judges them") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "TCP: random segments*"));
  Random random(seed);
  std::map<TcpVerdict, uint64_t> verdicts;
  std::map<TcpState, uint64_t> states;
  for (uint64_t count = 0; count < wanted_segments();) {
    Model model;
    model.mode = static_cast<TrackingMode>(random.below(3));
    TcpTracking tracking;
    Noise noise(random);
    std::string history;
    for (int i = random.chance(50) ? 20 : 60; i > 0; --i, ++count) {
      Segment s = noise.make();
      if (tracking.state == TcpState::kNone) s.side = false;
      const TcpVerdict verdict = tracking.judge(s.wire(), s.side, model.mode);
      history += words(s) + " " + name_of(verdict) + "\n";
      CAPTURE(history);
      REQUIRE(std::string(name_of(verdict)) == std::string(name_of(model.judge(s))));
      ++verdicts[verdict];
      if (verdict == TcpVerdict::kReopen) break;
      if (verdict != TcpVerdict::kOk) continue;
      tracking.advance(s.wire(), s.side);
      model.accept(s);
      noise.sent(s);
      REQUIRE(std::string(name_of(tracking.state)) == std::string(name_of(model.state())));
      ++states[tracking.state];
    }
  }
  for (int i = 0; i < static_cast<int>(TcpVerdict::kCount); ++i)
    CHECK_MESSAGE(verdicts[static_cast<TcpVerdict>(i)] > 0, name_of(static_cast<TcpVerdict>(i)));
  for (int i = 1; i < static_cast<int>(TcpState::kCount); ++i)
    CHECK_MESSAGE(states[static_cast<TcpState>(i)] > 0, name_of(static_cast<TcpState>(i)));
}

}  // namespace
}  // namespace headgate::test
