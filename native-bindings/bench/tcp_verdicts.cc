// What the TCP state machine says of segments, to be compared with what others say (test/netns/tcp-verdicts.py).
//
//   printf '> S 0 0 0 1000 scale 7\n< SA 100 1 0 1000\n' | tcp_verdicts strict
//
// A line: who sends (> the initiator, < the responder), flags (S, F, R, A), sequence number, acknowledgement, length,
// window; then `scale N`, `sackok` or `sack EDGE`. For each a line is printed: verdict and state.
#include <cstdio>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>

#include "packet/headers.h"
#include "tables/tcp_state.h"

using namespace headgate;

namespace {

bool read(const std::string& line, TcpSegment& s, bool& reply) {
  std::istringstream words(line);
  std::string direction, flags, option;
  unsigned scale;
  if (!(words >> direction >> flags >> s.sequence >> s.acknowledgement >> s.length >> s.window)) return false;
  reply = direction == "<";
  for (auto [letter, flag] : {std::pair{'S', kSyn}, {'F', kFin}, {'R', kRst}, {'A', kAck}})
    if (flags.find(letter) != std::string::npos) s.flags |= flag;
  while (words >> option) {
    if (option == "scale" && words >> scale) s.scale = static_cast<uint8_t>(scale);
    if (option == "sackok") s.sack_permitted = true;
    if (option == "sack") s.has_sack = static_cast<bool>(words >> s.sack);
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode != "strict" && mode != "pickup" && mode != "liberal") {
    fprintf(stderr, "usage: tcp_verdicts strict|pickup|liberal < SEGMENTS\n");
    return 2;
  }
  const TrackingMode by = mode == "strict"   ? TrackingMode::kStrict
                          : mode == "pickup" ? TrackingMode::kPickup
                                             : TrackingMode::kLiberal;
  TcpTracking tracking;
  bool turned = false;  // a connection begun anew, by the other side
  for (std::string line; std::getline(std::cin, line);) {
    TcpSegment s;
    bool from;
    if (!read(line, s, from)) {
      fprintf(stderr, "tcp_verdicts: not a segment: %s\n", line.c_str());
      return 1;
    }
    TcpVerdict verdict = tracking.judge(s, from != turned, by);
    if (verdict == TcpVerdict::kReopen || tracking.state == TcpState::kNone) {
      tracking = {};
      turned = from;
      verdict = tracking.judge(s, false, by);
    }
    if (verdict == TcpVerdict::kOk) tracking.advance(s, from != turned);
    printf("%s %s\n", name_of(verdict), name_of(tracking.state));
  }
}
