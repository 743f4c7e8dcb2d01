// Which numbers the packet path's state has for what control calls by name, so that the next engine uses the same ones:
// a record's tracker, the serials that hits and accounts are kept by, the places of workloads and segments. So no
// state is rewritten when another engine goes on with it.
//
// A journal in memory that outlives the engine: each change is appended behind the last one and counts once the length
// says so; every entry has a checksum. There is room for two journals; when one is full, what still counts is written
// to the other, and one word switches between them. Written by the main thread alone, off the packet path.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pools/memory.h"

namespace headgate {

class Names {
 public:
  enum class Kind : uint8_t { kTracker, kSegment, kWorkload, kEntry, kProfile, kTag, kLeg, kCount };
  struct Numbers {
    uint32_t place = 0;
    uint32_t serial = 0;
  };

  static constexpr size_t kJournalBytes = size_t{64} << 20;
  static constexpr size_t kBytes = 4096 + 2 * kJournalBytes;

  // `memory`: kBytes, zeroed or as earlier names left them; null: its own. Reads what is there; until begin() another
  // engine may own it, and nothing is written.
  explicit Names(uint8_t* memory = nullptr, size_t journal_bytes = kJournalBytes);
  // It is owned: what changed meanwhile is written, and from now on all is.
  void begin();

  // The numbers that an engine before had for it, once; nothing where there were none.
  bool claim(Kind kind, const std::string& name, Numbers& numbers);
  void each_former(Kind kind, const std::function<void(const std::string& name, Numbers)>& visit) const;
  // Those that were not claimed are forgotten, but for trackers, which records may still name, profiles and
  // legs of services.
  void forget_former();

  void note(Kind kind, std::string_view name, Numbers numbers);
  void forget(Kind kind, std::string_view name);

  // Numbers that were never used, and are never used again.
  uint32_t take_serial(Kind kind) { return next_serial_[static_cast<int>(kind)]++; }
  uint32_t next_epoch() const { return head_->next_epoch; }
  void set_next_epoch(uint32_t epoch) { next_epoch_ = epoch; }
  // Has the counters above stand in the memory; before anybody is given a number.
  void keep_counters();

  // Of the hash that spreads flows over chains and workers; 0: there is none yet.
  uint64_t secret() const { return head_->secret; }
  void set_secret(uint64_t secret) { head_->secret = secret; }

  // Changes that found no room: the next engine takes what they name for new.
  uint64_t lost() const { return lost_; }

 private:
  struct Head {
    uint64_t secret;
    uint64_t length[2];  // of the journals
    uint32_t journal;    // the one that counts
    uint32_t next_epoch;
    uint32_t next_serial[static_cast<int>(Kind::kCount)];
  };
  struct Entry {
    uint64_t checksum;  // of what follows, with the name
    Numbers numbers;
    uint16_t length;
    Kind kind;
    uint8_t gone;
  };
  using Known = std::unordered_map<std::string, Numbers>;

  uint8_t* journal(uint32_t number) const { return memory_.data() + 4096 + number * journal_bytes_; }
  void read(Known (&known)[static_cast<int>(Kind::kCount)]) const;
  void write(Kind kind, std::string_view name, Numbers numbers, bool gone);
  bool append(uint32_t number, Kind kind, std::string_view name, Numbers numbers, bool gone);
  void switch_journals();

  size_t journal_bytes_;
  TableMemory memory_;
  Head* head_;
  bool owned_ = false;
  uint32_t next_epoch_ = 0;
  uint32_t next_serial_[static_cast<int>(Kind::kCount)];
  uint64_t lost_ = 0;
  Known former_[static_cast<int>(Kind::kCount)];
  struct Change {
    Kind kind;
    std::string name;
    Numbers numbers;
    bool gone;
  };
  std::vector<Change> pending_;  // until it is owned
};

}  // namespace headgate
