// What the tests of the TCP state machine have in common.
#pragma once

#include <cstdlib>
#include <optional>
#include <random>
#include <string>

#include "tables/tcp_state.h"
#include "test/frames.h"

namespace headgate::test {

inline uint64_t wanted_segments() {
  const char* given = std::getenv("HEADGATE_TEST_TCP");
  return given ? std::strtoull(given, nullptr, 10) : 100'000;
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return n ? static_cast<uint32_t>(engine_() % n) : 0; }
  bool chance(uint32_t percent) { return below(100) < percent; }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }

 private:
  std::mt19937_64 engine_;
};

// A segment in numbers that do not go round.
struct Segment {
  bool side;
  uint8_t flags;
  int64_t sequence, acknowledgement;
  uint32_t length;
  uint16_t window;
  uint8_t scale = TcpSegment::kNoScale;
  bool sack_permitted = false;
  std::optional<int64_t> sack{};

  bool is(uint8_t flag) const { return flags & flag; }
  int64_t end() const { return sequence + length + is(kSyn) + is(kFin); }
  TcpSegment wire() const {
    TcpSegment s;
    s.flags = flags;
    s.sequence = static_cast<uint32_t>(sequence);
    s.acknowledgement = is(kAck) ? static_cast<uint32_t>(acknowledgement) : 0;
    s.length = length;
    s.window = window;
    if (is(kSyn)) s.scale = scale, s.sack_permitted = sack_permitted;
    s.has_sack = sack.has_value();
    s.sack = static_cast<uint32_t>(sack.value_or(0));
    return s;
  }
};

inline std::string words(const Segment& s) {
  std::string text = s.side ? "<" : ">";
  for (auto [flag, letter] : {std::pair{kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'}, {kAck, 'A'}})
    if (s.is(flag)) text += letter;
  text += " seq " + std::to_string(s.sequence) + "+" + std::to_string(s.length);
  if (s.is(kAck)) text += " ack " + std::to_string(s.acknowledgement);
  text += " win " + std::to_string(s.window);
  if (s.is(kSyn)) text += " scale " + std::to_string(s.scale) + (s.sack_permitted ? " sackok" : "");
  if (s.sack) text += " sack " + std::to_string(*s.sack);
  return text;
}

}  // namespace headgate::test
