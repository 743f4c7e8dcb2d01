// A thread that looks up without pause while rules change: in batches of 64, taking over a new lookup between two of
// them, as a packet worker does (pipeline/worker.h).
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "bench/rule_table.h"

namespace headgate::bench {

// Of this thread: how often the kernel has taken the processor away.
long context_switches();

struct Query {
  uint32_t workload;
  FlowHeaders flow;
};

class LookupReader {
 public:
  struct Batch {
    float seconds;
    bool disturbed;  // the kernel took the processor away meanwhile
  };

  // `queries`: a multiple of 64. They and `first` outlive it.
  LookupReader(const Lookup* first, const std::vector<Query>& queries);
  ~LookupReader() { stop(); }

  // Returns when the reader uses it.
  void give(const Lookup* next);
  // How often the kernel has taken the processor away from it so far.
  long switches() const { return switches_.load(std::memory_order_acquire); }
  // Every batch since the start.
  const std::vector<Batch>& stop();

 private:
  static constexpr size_t kBatch = 64;
  void run();
  std::vector<Lookup::Question> questions_;
  uint32_t answers_[kBatch];
  std::atomic<const Lookup*> offered_, used_;
  std::atomic<bool> stopping_{false};
  std::atomic<long> switches_{0};
  std::vector<Batch> batches_;
  std::thread thread_;
};

}  // namespace headgate::bench
