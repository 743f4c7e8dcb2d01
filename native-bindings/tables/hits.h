// Hit counters by (rule, workload, direction), of one worker. An entry is made when the pair is first met, so memory
// goes with what is really used, and it is kept by serials that are never used twice, so it survives every edit of the
// rule's surroundings. Open addressing in a fixed array: no allocation on the packet path. When it is full, further
// pairs share entry 0, which stands for no rule: their flows are judged as ever, but reports do not count them, and an
// edit judges them anew whatever their rule says of live connections.
//
// The entry also meters the rule's log lines (a token bucket) and counts what it swallows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "packet/hash.h"
#include "tables/rule.h"

namespace headgate {

struct alignas(64) Hit {
  uint32_t rule = 0;      // serial; 0: the default action
  uint32_t workload = 0;  // serial; 0: entry not in use
  Direction direction = Direction::kIn;
  uint64_t flows = 0;  // verdicts reached
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint32_t last_seen = 0;   // milliseconds
  uint32_t log_refill = 0;  // milliseconds
  uint16_t log_tokens = kLogBurst;
  uint32_t log_suppressed = 0;

  static constexpr uint16_t kLogBurst = 20;
  static constexpr uint32_t kLogInterval = 100;  // milliseconds a line: ten a second

  // Whether a log line may be written now.
  bool take_log_token(uint32_t now) {
    uint32_t earned = (now - log_refill) / kLogInterval;
    if (earned) {
      log_tokens = static_cast<uint16_t>(std::min<uint32_t>(kLogBurst, log_tokens + earned));
      log_refill = now;
    }
    if (log_tokens == 0) return false;
    --log_tokens;
    return true;
  }
};

class HitTable {
 public:
  explicit HitTable(uint32_t capacity = 65536) : entries_(capacity) {}

  // Place of the pair's entry, made if missing.
  uint32_t place(uint32_t rule, uint32_t workload, Direction direction) {
    uint64_t key = uint64_t{rule} << 33 | uint64_t{workload} << 1 | static_cast<uint64_t>(direction);
    uint32_t mask = static_cast<uint32_t>(entries_.size()) - 1;
    uint32_t at = static_cast<uint32_t>(fold_multiply(key, 0x9e3779b97f4a7c15ull)) & mask;
    uint32_t room = 0;
    for (uint32_t probes = 0; probes < kProbes; ++probes, at = (at + 1) & mask) {
      if (at == 0) continue;
      Hit& hit = entries_[at];
      if (hit.rule == rule && hit.workload == workload && hit.direction == direction) return at;
      if (hit.workload == kTombstone && !room) room = at;
      if (hit.workload == 0) {
        if (!room) room = at;
        break;
      }
    }
    if (!room) return 0;
    Hit& hit = entries_[room];
    hit = Hit{};
    hit.rule = rule;
    hit.workload = workload;
    hit.direction = direction;
    ++used_;
    return room;
  }

  Hit& operator[](uint32_t place) { return entries_[place]; }

  template <class Visit>
  void each(Visit visit) const {
    for (const Hit& hit : entries_)
      if (hit.workload && hit.workload != kTombstone) visit(hit);
  }

  // Frees the entries that `gone(hit)` names. Verdicts still point to them, but their workloads have new epochs by
  // then, so they are judged again before they count.
  template <class Gone>
  void forget(Gone gone) {
    for (Hit& hit : entries_)
      if (hit.workload && hit.workload != kTombstone && gone(hit)) {
        hit = Hit{};
        hit.workload = kTombstone;
        --used_;
      }
  }
  bool crowded() const { return used_ > entries_.size() / 2; }

 private:
  static constexpr uint32_t kProbes = 64;
  static constexpr uint32_t kTombstone = UINT32_MAX;
  uint32_t used_ = 0;
  std::vector<Hit> entries_;
};

}  // namespace headgate
