#include "bench/lookup_reader.h"

#include <sys/resource.h>

#include "bench/classify.h"

namespace headgate::bench {

namespace {

constexpr size_t kMostBatches = 8 << 20;  // made room for in advance: recording does not stall the reader

}  // namespace

long context_switches() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

LookupReader::LookupReader(const Lookup* first, const std::vector<Query>& queries) : offered_(first), used_(nullptr) {
  for (const Query& query : queries) questions_.push_back({query.workload, Direction::kIn, &query.flow});
  batches_.resize(kMostBatches);
  batches_.clear();
  thread_ = std::thread([this] { run(); });
  give(first);
}

void LookupReader::give(const Lookup* next) {
  offered_.store(next, std::memory_order_release);
  while (used_.load(std::memory_order_acquire) != next) continue;
}

const std::vector<LookupReader::Batch>& LookupReader::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  return batches_;
}

void LookupReader::run() {
  const Lookup* lookup = nullptr;
  for (size_t at = 0; !stopping_.load(std::memory_order_relaxed); at = (at + kBatch) % questions_.size()) {
    if (const Lookup* offered = offered_.load(std::memory_order_acquire); offered != lookup) {
      lookup = offered;
      switches_.store(context_switches(), std::memory_order_relaxed);
      used_.store(lookup, std::memory_order_release);
    }
    long before = context_switches();
    auto begin = Clock::now();
    ask(*lookup, {&questions_[at], kBatch}, answers_);
    auto seconds = static_cast<float>(seconds_since(begin));
    long after = context_switches();
    switches_.store(after, std::memory_order_release);
    if (batches_.size() < kMostBatches) batches_.push_back({seconds, after != before});
  }
}

}  // namespace headgate::bench
