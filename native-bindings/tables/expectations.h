// Connections that others have announced: FTP's data connections and the answers of TFTP servers. One table for all
// workers, since nobody knows before its first frame which of them a flow belongs to.
//
// An expectation names both ends' addresses and the port it goes to, never the port it comes from. It is used up by the
// first flow that fits it, and lasts for a minute. All that one client causes, in one tracker, share a bucket: so
// whoever has many announced runs out of room for itself; what is full takes no more, and forgets none.
//
// Entries are written and read without locks: an entry's version is odd while one worker writes it, and whoever reads
// looks at the version before and behind (a sequence lock; Hemminger, "fast reader/writer lock for gettimeofday",
// 2002).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "packet/headers.h"
#include "pools/memory.h"

namespace headgate {

struct Expected {
  Address source;
  Address destination;
  uint16_t destination_port = 0;
  uint16_t tracker = 0;
  uint8_t protocol = 0;
};

// The connection that announced another, by what differs between their flows.
struct Parent {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  bool turned = false;  // the announced one runs against it
};

class Expectations {
 public:
  static constexpr uint32_t kLifetime = 60'000;  // milliseconds
  static constexpr size_t kBuckets = 256;
  static constexpr size_t kBucketSize = 16;
  static constexpr size_t kBytes = 64 + kBuckets * kBucketSize * 64;

  // `memory`: kBytes, zeroed or as earlier ones left them; null: its own. `secret`: of hash_flow.
  Expectations(uint8_t* memory, uint64_t secret);

  // Behind a crash, before the first frame: an entry that was being written is none.
  void recover();

  // Any worker's. False: no room.
  bool add(const Expected& what, const Parent& parent, uint32_t now);
  // Whether some may be waiting: a look at one word.
  bool any(uint32_t now) const { return is_waiting(head_->last.load(std::memory_order_acquire), now); }
  // Takes the one that fits out of the table.
  std::optional<Parent> take(const Expected& what, uint32_t now);

 private:
  struct Content {
    Expected what;
    Parent parent;
    uint32_t expires;  // milliseconds
    bool used;
  };
  static constexpr size_t kWords = 7;
  struct alignas(64) Entry {
    std::atomic<uint32_t> version;
    std::array<std::atomic<uint64_t>, kWords> words;
  };
  struct alignas(64) Head {
    std::atomic<uint32_t> last;  // when the last of them expires
  };
  static_assert(sizeof(Entry) == 64 && sizeof(Head) == 64);

  // Times go round: what expires later than any can is long past. (Workers' clocks differ a little.)
  static bool is_waiting(uint32_t expires, uint32_t now) { return expires - now - 1 < 2 * kLifetime; }
  void forget_past(uint32_t now);
  Entry* bucket_of(const Address& client, uint16_t tracker) const;
  bool try_add(const Content& content, uint32_t now, bool& full);
  std::optional<Parent> take(Entry* bucket, const Expected& what, uint32_t now);
  static std::optional<Content> read(const Entry& entry, uint32_t& version);
  static std::optional<Content> try_read(const Entry& entry, uint32_t& version);
  static bool write(Entry& entry, uint32_t version, const Content& content);

  TableMemory memory_;
  Head* head_;
  Entry* entries_;
  uint64_t secret_;
};

}  // namespace headgate
