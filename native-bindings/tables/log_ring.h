// Log lines on their way from a worker to whoever writes them: a fixed ring, filled by the packet path without waiting.
// When it is full, lines are lost and counted. Drained by the worker's own thread between two batches, so no atomics.
#pragma once

#include <cstdint>
#include <vector>

#include "tables/rule.h"

namespace headgate {

struct LogLine {
  uint32_t time;   // milliseconds, as the packet path counts them
  uint32_t entry;  // serial; 0: default
  uint32_t workload;
  uint32_t suppressed;
  Direction direction;
  Action action;
  bool observe;
  FlowHeaders flow;
};

class LogRing {
 public:
  static constexpr size_t kLines = 4096;
  LogRing() { lines_.reserve(kLines); }
  bool push(const LogLine& line) {
    if (lines_.size() == kLines) return false;
    lines_.push_back(line);
    return true;
  }
  std::vector<LogLine> drain() {
    std::vector<LogLine> out;
    out.reserve(kLines);
    lines_.swap(out);
    return out;
  }

 private:
  std::vector<LogLine> lines_;
};

}  // namespace headgate
