// Log lines on their way from a worker to whoever writes them: a fixed ring, filled by the packet path without waiting.
// When it is full, lines are lost and counted. Drained by the worker's own thread between two batches, so no atomics.
// It stands in memory that an engine which follows another goes on with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pools/memory.h"
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
  static constexpr uint32_t kLines = 4096;
  static constexpr size_t kBytes = 64 + kLines * sizeof(LogLine);

  // `memory`: kBytes, zeroed or as an earlier ring left it; null: its own.
  explicit LogRing(uint8_t* memory = nullptr)
      : memory_(memory, kBytes), count_(memory_.at<uint32_t>()), lines_(memory_.at<LogLine>(64)) {}

  bool push(const LogLine& line) {
    if (*count_ >= kLines) return false;
    lines_[*count_] = line;
    ++*count_;
    return true;
  }
  std::vector<LogLine> drain() {
    std::vector<LogLine> out(lines_, lines_ + std::min(*count_, kLines));
    *count_ = 0;
    return out;
  }

 private:
  TableMemory memory_;
  uint32_t* count_;
  LogLine* lines_;
};

}  // namespace headgate
