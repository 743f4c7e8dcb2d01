// What the modes of bench_classify share: options, turns of equal length, results as JSON.
#pragma once

#include <time.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "bench/rte_acl.h"

namespace headgate::bench {

struct Options {
  std::optional<RteAclLibrary> rte_acl;
  size_t headers = 100'000;
  size_t rounds = 7;
  size_t edits = 2000;
  size_t workloads = 1000;
  size_t workload_rules = 500;
  double turn = 0.1;  // seconds that each side measures at a time
  uint64_t seed = 1;
};

// Prints results, one JSON object a line. Throws std::runtime_error when answers differ.
void classify_sets(const std::string& path, const Options& options);
void classify_workloads(const std::string& path, const Options& options);

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Of this thread: what other processes take meanwhile is not in it.
inline double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Calls pass(), which does some lookups and says how many, until the time is over. Lookups a second of processor time.
template <class Pass>
double rate_of(double seconds, Pass pass) {
  double begin = processor_seconds();
  size_t done = 0;
  double taken;
  do {
    done += pass();
    taken = processor_seconds() - begin;
  } while (taken < seconds);
  return static_cast<double>(done) / taken;
}

class Json {
 public:
  Json& add(const std::string& key, const std::string& text) { return raw(key, '"' + escaped(text) + '"'); }
  Json& add(const std::string& key, double number) { return raw(key, format(number)); }
  Json& add(const std::string& key, const std::vector<double>& numbers);
  Json& add(const std::string& key, const Json& object) { return raw(key, object.text()); }
  std::string text() const { return '{' + members_ + '}'; }
  void print() const;

 private:
  static std::string escaped(const std::string& text);
  static std::string format(double number);
  Json& raw(const std::string& key, const std::string& value);
  std::string members_;
};

}  // namespace headgate::bench
