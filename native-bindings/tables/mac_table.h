// Which workload of a segment has which MAC: pinned ones, set by control, and learned ones (IEEE 802.1D, 7.8) that
// age. One word an entry (MAC, workload, pinned), written with compare-and-swap, so that any worker may learn and
// look up without a lock. A full neighbourhood learns nothing more; frames to an unknown MAC are flooded.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "packet/headers.h"

namespace headgate {

constexpr uint32_t kNoWorkload = UINT32_MAX;
constexpr uint32_t kManyOutputs = UINT32_MAX - 1;

class MacTable {
 public:
  static constexpr uint32_t kSlots = 4096;
  static constexpr uint32_t kProbes = 16;
  static constexpr uint32_t kMostWorkload = 0x7ffe;      // workloads fit in 15 bits
  static constexpr uint32_t kLearnedPerWorkload = 64;
  static constexpr uint32_t kAgeSeconds = 300;

  MacTable() : entries_(new Entry[kSlots]()) {}

  // Workload with that MAC, or kNoWorkload. `now` in seconds: learned entries idle for longer than kAgeSeconds
  // are not found.
  uint32_t find(const uint8_t* mac, uint32_t now) const;

  enum class Learned { kYes, kNoRoom, kPinnedElsewhere };

  // Notes that the workload sends from that MAC. kNoRoom: the neighbourhood is full or the workload has its share.
  Learned learn(const uint8_t* mac, uint32_t workload, uint32_t now);

  // False if the neighbourhood is full of pinned entries. Off the packet threads.
  bool pin(const Mac& mac, uint32_t workload);
  void forget(uint32_t workload);

 private:
  struct Entry {
    std::atomic<uint64_t> word{0};  // MAC << 16 | workload + 1 << 1 | pinned; 0: empty
    std::atomic<uint32_t> seen{0};  // seconds
  };
  uint32_t learned_by(uint32_t workload, uint32_t now) const;
  bool stale(const Entry& entry, uint64_t word, uint32_t now) const {
    return !(word & 1) && now - entry.seen.load(std::memory_order_relaxed) > kAgeSeconds;
  }
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace headgate
