// Which workload of a segment has which MAC: pinned ones, set by control, and learned ones (IEEE 802.1D, 7.8) that
// age. One word an entry (MAC, workload, pinned), written with compare-and-swap, so that any worker may learn and
// look up without a lock. A full neighbourhood learns nothing more; frames to an unknown MAC are flooded.
//
// The table may stand in a pool, for the next engine.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "packet/parse.h"
#include "pools/memory.h"

namespace headgate {

constexpr uint32_t kNoWorkload = UINT32_MAX;
constexpr uint32_t kManyOutputs = UINT32_MAX - 1;

class MacTable {
 public:
  static constexpr uint32_t kSlots = 4096;
  static constexpr uint32_t kProbes = 64;            // half a table of pinned MACs fits
  static constexpr uint32_t kMostWorkload = 0x7ffe;  // workloads fit in 15 bits
  static constexpr uint32_t kLearnedPerWorkload = 64;
  static constexpr uint32_t kLearnedPerRemote = 1024;  // all that another host has of the segment
  static constexpr uint32_t kAgeSeconds = 300;

  static constexpr size_t kBytes = size_t{kSlots} * 16;

  // `memory`: kBytes, zeroed or as an earlier table left it; null: its own.
  explicit MacTable(uint8_t* memory = nullptr) : memory_(memory, kBytes), entries_(memory_.at<Entry>()) {}
  MacTable(const MacTable& other) : MacTable() {
    for (uint32_t i = 0; i < kSlots; ++i) {
      entries_[i].word = other.entries_[i].word.load(std::memory_order_relaxed);
      entries_[i].seen = other.entries_[i].seen.load(std::memory_order_relaxed);
    }
  }

  // Workload with that MAC, or kNoWorkload. `now` in seconds: learned entries idle for longer than kAgeSeconds
  // are not found.
  uint32_t find(const uint8_t* mac, uint32_t now) const {
    uint64_t key = key_of(mac);
    uint32_t slot = slot_of(key);
    for (uint32_t i = 0; i < kProbes; ++i) {
      const Entry& entry = entries_[(slot + i) % kSlots];
      uint64_t word = entry.word.load(std::memory_order_relaxed);
      if ((word & ~uint64_t{0xffff}) == key) return stale(entry, word, now) ? kNoWorkload : workload_of(word);
    }
    return kNoWorkload;
  }

  // The MAC that the workload was last heard from, if it is still known. Off the packet threads.
  std::optional<Mac> last_of(uint32_t workload, uint32_t now) const;

  enum class Learned { kYes, kNoRoom, kPinnedElsewhere };

  // Notes that the workload sends from that MAC. kNoRoom: the neighbourhood is full or the workload has its share.
  Learned learn(const uint8_t* mac, uint32_t workload, uint32_t now, uint32_t most = kLearnedPerWorkload);

  // False if the neighbourhood is full of pinned entries. Off the packet threads.
  bool pin(const Mac& mac, uint32_t workload);
  void forget(uint32_t workload);
  // Forgets what is there of workloads for which `stays(place)` is false.
  template <class Stays>
  void retain(Stays stays) {
    for (uint32_t i = 0; i < kSlots; ++i) {
      uint64_t word = entries_[i].word.load(std::memory_order_relaxed);
      if (word && !stays(workload_of(word))) entries_[i].word.compare_exchange_strong(word, 0);
    }
  }

 private:
  static uint64_t key_of(const uint8_t* mac) { return mac_number(mac) << 16; }
  static uint32_t workload_of(uint64_t word) { return static_cast<uint32_t>((word >> 1) & 0x7fff) - 1; }
  static uint32_t slot_of(uint64_t key) { return static_cast<uint32_t>((key * 0x9e3779b97f4a7c15ull) >> 52) % kSlots; }

  struct Entry {
    std::atomic<uint64_t> word{0};  // MAC << 16 | workload + 1 << 1 | pinned; 0: empty
    std::atomic<uint32_t> seen{0};  // seconds
  };
  uint32_t learned_by(uint32_t workload, uint32_t now) const;
  bool stale(const Entry& entry, uint64_t word, uint32_t now) const {
    return !(word & 1) && now - entry.seen.load(std::memory_order_relaxed) > kAgeSeconds;
  }
  static_assert(sizeof(Entry) * kSlots == kBytes);
  TableMemory memory_;
  Entry* entries_;
};

}  // namespace headgate
