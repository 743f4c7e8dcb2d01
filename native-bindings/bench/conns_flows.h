// What the modes of bench_conns share: flows by number, frames of them, and how long batches take.
#pragma once

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "packet/checksum.h"
#include "packet/hash.h"
#include "packet/wire.h"

namespace headgate::bench {

constexpr uint32_t kConnsBatch = 64;
constexpr uint32_t kSteps = 10;
constexpr uint64_t kSecret = 0x1234567890abcdefull;
constexpr uint16_t kServerPort = 53;

// Flow `number` has a client of its own: numbers are spread over addresses and ports, no two alike.
struct Client {
  explicit Client(uint32_t number) {
    const uint32_t spread = number * 2654435761u;
    address = spread >> 8;  // the last three bytes
    port = static_cast<uint16_t>(1024 + (spread & 0xff));
  }
  uint32_t address;
  uint16_t port;
};

inline Address client_address(uint32_t tail, bool ipv6) {
  Address a{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10}};
  if (ipv6) a = {{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 10}};
  store16(a.bytes.data() + 13, static_cast<uint16_t>(tail >> 8));
  a.bytes[15] = static_cast<uint8_t>(tail);
  return a;
}

inline Address server_address(bool ipv6) {
  if (ipv6) return {{0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 11, 0, 0, 1}};
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 11, 0, 0, 1}};
}

// Numbers of flows, one after the other.
class InOrder {
 public:
  explicit InOrder(uint32_t first) : at_(first) {}
  uint32_t next() { return at_++; }

 private:
  uint32_t at_;
};

// Numbers [0, count) in an order that jumps about, each once: a walk with a step that has no common divisor.
class Jumbled {
 public:
  explicit Jumbled(uint32_t count) : count_(count), step_(static_cast<uint32_t>(count * 0.6180339887) | 1) {
    while (std::gcd(step_, count_) != 1) step_ += 2;
  }
  uint32_t next() {
    const uint32_t now = at_;
    at_ = static_cast<uint32_t>((uint64_t{at_} + step_) % count_);
    return now;
  }

 private:
  uint32_t count_;
  uint32_t step_;
  uint32_t at_ = 0;
};

inline uint64_t nanoseconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

// Times of batches. Of this thread's processor time too, in which there is nothing that other processes took meanwhile:
// on a machine that others use as well, the longest by the clock is mostly theirs.
class Stopwatch {
 public:
  template <class Batch>
  void batch(Batch&& work) {
    const uint64_t cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID), begin = nanoseconds(CLOCK_MONOTONIC);
    work();
    const uint64_t end = nanoseconds(CLOCK_MONOTONIC);
    clock_.push_back(static_cast<uint32_t>(end - begin));
    processor_.push_back(static_cast<uint32_t>(nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu - overhead()));
    total_ += processor_.back();
  }
  // Makes room, so that memory that grows is not what is measured.
  explicit Stopwatch(size_t batches) {
    overhead();
    clock_.reserve(batches);
    processor_.reserve(batches);
  }
  // Of processor time.
  double seconds() const { return static_cast<double>(total_) * 1e-9; }
  size_t batches() const { return clock_.size(); }
  size_t bytes() const { return 2 * sizeof(uint32_t) * batches(); }
  // Microseconds, as JSON.
  std::string json() {
    char text[320];
    snprintf(text, sizeof text,
             "{\"batches\": %zu, \"median\": %.1f, \"p999\": %.1f, \"longest\": %.1f, \"processorP999\": %.1f, "
             "\"processorLongest\": %.1f}",
             batches(), at(clock_, 0.5), at(clock_, 0.999), at(clock_, 1), at(processor_, 0.999), at(processor_, 1));
    return text;
  }

 private:
  static double at(std::vector<uint32_t>& values, double share) {
    if (values.empty()) return 0;
    const auto place = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(place), values.end());
    return values[place] / 1000.0;
  }
  // What reading the processor's time twice takes by itself.
  static uint32_t overhead() {
    static const uint32_t least = [] {
      uint64_t found = UINT64_MAX;
      for (int i = 0; i < 1000; ++i) {
        const uint64_t before = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        nanoseconds(CLOCK_MONOTONIC);
        nanoseconds(CLOCK_MONOTONIC);
        found = std::min(found, nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before);
      }
      return static_cast<uint32_t>(found);
    }();
    return least;
  }

  std::vector<uint32_t> clock_, processor_;
  uint64_t total_ = 0;
};

// Kilobytes that a file of /proc/self says under a name.
inline double kilobytes(const char* path, const std::string& name) {
  double found = -1;
  if (FILE* file = fopen(path, "r")) {
    char line[256];
    while (fgets(line, sizeof line, file))
      if (name.compare(0, name.size(), line, name.size()) == 0) found = strtod(line + name.size(), nullptr);
    fclose(file);
  }
  if (found < 0) {
    fprintf(stderr, "bench_conns: %s has no %s\n", path, name.c_str());
    exit(1);
  }
  return found;
}

// Bytes of this process that are in memory, but for notes of the stopwatches that are about.
template <class... Watches>
double resident(const Watches&... watches) {
  return kilobytes("/proc/self/smaps_rollup", "Rss:") * 1024 - static_cast<double>((watches.bytes() + ...));
}
inline double page_tables() {
  return kilobytes("/proc/self/status", "VmPTE:") * 1024;
}

struct ConnsOptions {
  uint32_t count = 0;
  bool ipv6 = false;
  bool huge = false;
  std::string collect;  // what callgrind is to collect; empty: nothing
};

int conns_engine(const ConnsOptions& options);
int conns_table(const ConnsOptions& options);
int conns_map(const ConnsOptions& options);

}  // namespace headgate::bench
