// Two ends that behave as TCP does, over links that lose, double and reorder, with the state machine between them: no
// segment that an end has use for is refused, each connection comes to its end, and the state is what the ends think.
//
//     end --- link --- state machine --- link --- end
//
// HEADGATE_TEST_TCP=1000000 native-tests -tc='TCP: *'    so many segments each, else 100,000
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "test/tcp.h"

namespace headgate::test {
namespace {

// One end of a connection (RFC 9293), without timers: it repeats what was not acknowledged whenever it is asked to
// speak.
class End {
 public:
  End(Random& random, bool side) : random_(random), side_(side) {
    first_ = (int64_t{1} << 32) * 3 + random.between(-100'000, 100'000);
    acknowledged_ = sent_ = first_;
    total_ = random.chance(20) ? 0 : random.below(random.chance(30) ? 500'000 : 30'000);
    most_capacity_ = 2'000 + random.below(random.chance(50) ? 5'000 : 500'000);
    offers_scale_ = random.chance(70);
    scale_ = offers_scale_ ? static_cast<uint8_t>(random.below(15)) : 0;
    sacks_ = random.chance(70);
    choose_capacity();
  }

  bool opening = false;  // it begins the connection
  bool closed() const { return aborted_ || (acknowledged_ == fin() + 1 && received_fin_); }
  bool aborted() const { return aborted_; }
  bool was_reset() const { return was_reset_; }
  bool synchronized() const { return heard_ && acknowledged_ > first_; }
  bool has_closed() const { return sent_ > fin(); }
  // Whether the other end's segment has anything that this one does not know.
  bool has_use_for(const Segment& s) const {
    if (aborted_) return false;
    if (s.is(kRst)) return heard_ && s.sequence == expected_;
    if (!heard_ || s.end() > expected_) return !s.is(kSyn) || !heard_ || s.sequence == peer_first_;
    return s.is(kAck) && s.acknowledgement <= sent_ &&
           (s.acknowledgement > acknowledged_ || s.acknowledgement + offer_of(s) > limit_);
  }

  // What it says of itself, if anything.
  std::optional<Segment> speak() {
    if (aborted_) return {};
    if (!heard_) return opening ? std::optional(syn(kSyn)) : std::nullopt;
    if (acknowledged_ == first_) return syn(kSyn | kAck);
    if (random_.chance(30)) choose_capacity();
    const bool again = sent_ > acknowledged_ && random_.chance(30);
    const int64_t from = again ? acknowledged_ : sent_;
    if (!again && random_.chance(10)) return say(from - 1, 0, kAck);  // keep-alive
    const bool probes = sent_ == limit_ && random_.chance(5);         // goes beyond by one
    const int64_t room = limit_ + probes - from;
    const int64_t length = std::clamp<int64_t>(std::min(fin() - from, room), 0, 1 + random_.below(10'000));
    const bool last = from + length == fin() && room > length;
    return say(from, length, last ? kAck | kFin : kAck);
  }

  Segment abort() {
    aborted_ = true;
    return {side_, kRst | kAck, sent_, expected_, 0, 0};
  }

  // What it answers.
  std::optional<Segment> hear(const Segment& s) {
    if (aborted_) {
      if (s.is(kRst)) return {};
      return Segment{side_, kRst, s.is(kAck) ? s.acknowledgement : sent_, 0, 0, 0};
    }
    if (s.is(kRst)) {
      if (!heard_ || s.sequence != expected_) return {};
      aborted_ = was_reset_ = true;
      return {};
    }
    if (!heard_) {
      if (!s.is(kSyn) || (s.is(kAck) && s.acknowledgement != first_ + 1)) return {};
      learn(s);
      if (!s.is(kAck)) return syn(kSyn | kAck);
    }
    if (s.is(kAck) && s.acknowledgement <= sent_) {
      acknowledged_ = std::max(acknowledged_, s.acknowledgement);
      limit_ = std::max(limit_, s.acknowledgement + offer_of(s));
    }
    if (!s.is(kSyn)) take(s);
    const bool nothing_new = s.length == 0 && !s.is(kFin) && !s.is(kSyn);
    if (acknowledged_ == first_ || (nothing_new && s.sequence == expected_)) return {};
    return say(sent_, 0, kAck);
  }

 private:
  int64_t fin() const { return first_ + 1 + total_; }
  int64_t offer_of(const Segment& s) const { return s.is(kSyn) ? s.window : int64_t{s.window} << peer_scale_; }

  void learn(const Segment& s) {
    heard_ = true;
    peer_first_ = s.sequence;
    expected_ = s.sequence + 1;
    const bool scaled = offers_scale_ && s.scale != TcpSegment::kNoScale;
    if (!scaled) scale_ = 0;
    peer_scale_ = scaled ? s.scale : 0;
    sacks_ &= s.sack_permitted;
    limit_ = sent_ + s.window;
  }

  void choose_capacity() {
    const int64_t least = int64_t{4} << scale_;
    capacity_ = random_.chance(10) ? 0 : random_.between(least, std::max(least, most_capacity_));
  }

  // Data in any order, within the window.
  void take(const Segment& s) {
    for (int64_t at = std::max(s.sequence, expected_); at < s.end() && at < offered_;) {
      auto [begin, end] = *received_.try_emplace(at, at).first;
      received_[begin] = std::max(end, std::min(s.end(), offered_));
      at = received_[begin];
    }
    for (auto it = received_.begin(); it != received_.end() && it->first <= expected_; it = received_.erase(it))
      expected_ = std::max(expected_, it->second);
    if (s.is(kFin)) peer_fin_ = s.end();
    received_fin_ = peer_fin_ && expected_ >= peer_fin_;
  }

  Segment syn(uint8_t flags) {
    sent_ = std::max(sent_, first_ + 1);
    const auto window = static_cast<uint16_t>(std::min<int64_t>(capacity_, 65535));
    offered_ = std::max(offered_, expected_ + window);
    Segment s{side_, flags, first_, expected_, 0, window};
    if (offers_scale_ && !(heard_ && peer_scale_ == 0 && scale_ == 0)) s.scale = scale_;
    s.sack_permitted = sacks_;
    if (!heard_) announced_ = window;
    return s;
  }

  Segment say(int64_t sequence, int64_t length, uint8_t flags) {
    if (announced_) offered_ = std::max(offered_, peer_first_ + 1 + std::exchange(announced_, 0));
    const int64_t free = std::max(offered_ - expected_, capacity_);
    const auto window = static_cast<uint16_t>(std::min<int64_t>(free >> scale_, 65535));
    offered_ = std::max(offered_, expected_ + (int64_t{window} << scale_));
    Segment s{side_, flags, sequence, expected_, static_cast<uint32_t>(length), window};
    sent_ = std::max(sent_, s.end());
    if (sacks_ && !received_.empty()) s.sack = received_.rbegin()->second;
    return s;
  }

  Random& random_;
  bool side_;
  int64_t first_;         // its initial sequence number
  int64_t acknowledged_;  // of what it sent
  int64_t sent_;
  int64_t limit_ = 0;  // up to which it may send
  int64_t total_;      // bytes that it has to send
  int64_t most_capacity_;
  int64_t capacity_;  // bytes that it would take now
  bool offers_scale_, sacks_;
  uint8_t scale_, peer_scale_ = 0;
  bool heard_ = false, received_fin_ = false, aborted_ = false, was_reset_ = false;
  int64_t peer_first_ = 0, peer_fin_ = 0;
  int64_t expected_ = 0;                 // the next byte of the other end
  int64_t offered_ = 0;                  // up to which it has let the other end send
  int64_t announced_ = 0;                // the window of a SYN, before the other end was heard
  std::map<int64_t, int64_t> received_;  // out of order: from, to
};

// Loses, doubles and reorders a little, and has room for 20.
class Link {
 public:
  explicit Link(Random& random) : random_(random), bad_(random.below(20)) {}
  void put(const Segment& s) {
    if (random_.chance(bad_) || queue_.size() > 20) return;
    queue_.push_back(s);
    if (random_.chance(bad_)) queue_.push_back(s);
  }
  std::optional<Segment> get() {
    if (queue_.empty()) return {};
    const auto at = queue_.begin() + (random_.chance(bad_) ? random_.below(std::min<uint32_t>(3, queue_.size())) : 0);
    const Segment s = *at;
    queue_.erase(at);
    return s;
  }

 private:
  Random& random_;
  uint32_t bad_;  // percent
  std::deque<Segment> queue_;
};

// Where the state machine stands. `blind`: it has not begun to look.
struct Middle {
  TrackingMode mode = TrackingMode::kStrict;
  bool blind = false;
  TcpTracking tracking{};
  bool turned = false;  // it took the second end for the initiator
  std::string history{};

  bool lets(const Segment& s) {
    if (blind) return true;
    if (tracking.state == TcpState::kNone) turned = s.side;
    const TcpVerdict verdict = tracking.judge(s.wire(), s.side != turned, mode);
    history += words(s) + " " + name_of(verdict) + "\n";
    if (verdict == TcpVerdict::kOk) tracking.advance(s.wire(), s.side != turned);
    return verdict <= TcpVerdict::kUnchanged;
  }
};

enum class Story { kPlain, kCrossing, kAbort, kPickup };

uint64_t play(Random& random, Story story) {
  End ends[2] = {{random, false}, {random, true}};
  ends[0].opening = true;
  ends[1].opening = story == Story::kCrossing;
  std::array<Link, 2> before = {Link(random), Link(random)}, behind = before;
  Middle middle;
  if (story == Story::kPickup) middle.mode = TrackingMode::kPickup, middle.blind = true;
  uint64_t segments = 0;
  for (int step = 0; step < 1'000'000 && !(ends[0].closed() && ends[1].closed()); ++step) {
    const bool side = random.chance(50);
    End& end = ends[side];
    const bool working = ends[0].synchronized() && ends[1].synchronized();
    if (story == Story::kAbort && working && random.chance(1)) before[side].put(end.abort());
    if (middle.blind && working && random.chance(5) && !ends[0].has_closed() && !ends[1].has_closed())
      middle.blind = false;
    if (random.chance(20))
      if (const auto said = end.speak()) before[side].put(*said);
    if (const auto s = before[side].get()) {
      ++segments;
      const bool passes = middle.lets(*s);
      if (passes)
        behind[side].put(*s);
      else if (story != Story::kPickup) {
        CAPTURE(middle.history);
        REQUIRE_FALSE(ends[!side].has_use_for(*s));
      }
    }
    if (const auto s = behind[side].get())
      if (const auto answer = ends[!side].hear(*s)) before[!side].put(*answer);
  }
  CAPTURE(middle.history);
  REQUIRE(ends[0].closed());
  REQUIRE(ends[1].closed());
  if (middle.blind) return segments;
  // An end that is done anyway does not ask any more, so it may never hear that the other has given up.
  const bool reset = ends[0].was_reset() || ends[1].was_reset();
  if (!reset && (ends[0].aborted() || ends[1].aborted())) return segments;
  REQUIRE(std::string(name_of(middle.tracking.state)) == std::string(reset ? "reset" : "time-wait"));
  return segments;
}

TEST_CASE("TCP: nothing that two ends have use for is refused between them") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "TCP: nothing that two ends*"));
  Random random(seed);
  uint64_t segments[4] = {};
  for (uint64_t count = 0; count < wanted_segments();) {
    const uint32_t story = random.below(4);
    CAPTURE(story);
    const uint64_t passed = play(random, static_cast<Story>(story));
    segments[story] += passed;
    count += passed;
  }
  for (uint64_t passed : segments) CHECK(passed > wanted_segments() / 100);
}

}  // namespace
}  // namespace headgate::test
