// Hit counters by (index entry, workload, direction), of one worker. A place is made when the pair is first met, and it
// is kept by serials that are never used twice, so it survives every edit of the entry and of what is around it.
//
// Places are given out one after the other from memory that is there only once it is touched, so memory and walks go
// with what is really used, and nothing is allocated on the packet path. A place is found through chains of a hash.
// When the table is full, further pairs share place 0, which stands for no entry: their flows are judged as ever, but
// reports do not count them, and an edit judges them anew whatever their rule says of live connections.
//
// A place also meters the log lines of its entry (a token bucket) and counts what it swallows.
//
// All of the table is in its memory, which an engine that follows another goes on with.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "packet/hash.h"
#include "pools/memory.h"
#include "tables/rule.h"

namespace headgate {

// All zero is a place that is not in use.
struct alignas(64) Hit {
  uint32_t entry;     // serial; 0: the default action
  uint32_t workload;  // serial; 0: not in use
  Direction direction;
  uint32_t next;   // in the chain, or of the free ones
  uint64_t flows;  // verdicts reached
  uint64_t packets;
  uint64_t bytes;
  uint32_t last_seen;   // milliseconds
  uint32_t log_refill;  // milliseconds
  uint16_t log_taken;   // of the burst
  uint32_t log_suppressed;

  static constexpr uint16_t kLogBurst = 20;
  static constexpr uint32_t kLogInterval = 100;  // milliseconds a line: ten a second

  // Whether a log line may be written now.
  bool take_log_token(uint32_t now) {
    uint32_t earned = (now - log_refill) / kLogInterval;
    if (earned) {
      log_taken = static_cast<uint16_t>(log_taken - std::min<uint32_t>(log_taken, earned));
      log_refill = now;
    }
    if (log_taken == kLogBurst) return false;
    ++log_taken;
    return true;
  }
};

constexpr unsigned kHitBits = 20;  // that a place takes

class HitTable {
 public:
  static constexpr uint32_t kMost = 1 << kHitBits;
  static constexpr size_t bytes_for(uint32_t capacity) {
    return sizeof(Head) + capacity * sizeof(Hit) + (size_t{mask_of(capacity)} + 1) * sizeof(uint32_t);
  }
  // `memory`: bytes_for(capacity), zeroed or as an earlier table left it; null: its own.
  explicit HitTable(uint32_t capacity = kMost, uint8_t* memory = nullptr)
      : capacity_(capacity),
        mask_(mask_of(capacity)),
        memory_(memory, bytes_for(capacity)),
        head_(memory_.at<Head>()),
        hits_(memory_.at<Hit>(sizeof(Head))),
        chains_(reinterpret_cast<uint32_t*>(hits_ + capacity)) {}
  HitTable(const HitTable&) = delete;
  HitTable& operator=(const HitTable&) = delete;

  // The pair's place, made if missing.
  uint32_t place(uint32_t entry, uint32_t workload, Direction direction) {
    uint32_t& chain = chain_of(entry, workload, direction);
    for (uint32_t at = chain; at; at = hits_[at].next) {
      const Hit& hit = hits_[at];
      if (hit.entry == entry && hit.workload == workload && hit.direction == direction) return at;
    }
    uint32_t at = head_->free;
    if (at)
      head_->free = hits_[at].next;
    else if (head_->high_water + 1 < capacity_)
      at = ++head_->high_water;
    else
      return 0;
    Hit& hit = hits_[at];
    hit = Hit{};
    hit.entry = entry;
    hit.workload = workload;
    hit.direction = direction;
    hit.next = chain;
    chain = at;
    ++head_->used;
    return at;
  }

  Hit& operator[](uint32_t place) { return hits_[place]; }
  const Hit& operator[](uint32_t place) const { return hits_[place]; }

  // Calls visit(hit) for those in use in places [from, from + count); returns the next place, 0 at the end.
  template <class Visit>
  uint32_t walk(uint32_t from, uint32_t count, Visit visit) const {
    return slice(from, count, [&](uint32_t at) { visit(static_cast<const Hit&>(hits_[at])); });
  }

  // Frees those of the slice that `gone(hit)` names. Verdicts still point to them, but their workloads have new epochs
  // by then, so they are judged again before they count.
  template <class Gone>
  uint32_t forget(uint32_t from, uint32_t count, Gone gone) {
    return slice(from, count, [&](uint32_t at) {
      if (gone(static_cast<const Hit&>(hits_[at]))) release(at);
    });
  }
  bool crowded() const { return head_->used > capacity_ / 2; }
  uint32_t size() const { return head_->used; }

  // The workload whose place it is, by serial; 0: it is no place that is in use.
  uint32_t owner(uint32_t place) const { return place && place <= head_->high_water ? hits_[place].workload : 0; }

  // For a table whose last owner did not let go of it in order: makes chains anew. A place that makes no sense is
  // freed.
  void recover() {
    const uint32_t end = std::min(head_->high_water, capacity_ - 1);
    *head_ = {0, end, 0};
    memset(chains_, 0, (size_t{mask_} + 1) * sizeof(uint32_t));
    for (uint32_t at = end; at > 0; --at) {
      Hit& hit = hits_[at];
      const bool right = hit.workload && hit.direction <= Direction::kOut && hit.log_taken <= Hit::kLogBurst;
      if (!right) hit = Hit{};
      uint32_t& chain = right ? chain_of(hit.entry, hit.workload, hit.direction) : head_->free;
      hit.next = chain;
      chain = at;
      head_->used += right;
    }
  }

 private:
  struct alignas(64) Head {
    uint32_t used;
    uint32_t high_water;  // places [1, high_water] have been used at some time
    uint32_t free;        // chain of freed places
  };
  static constexpr uint32_t mask_of(uint32_t capacity) { return std::bit_ceil(std::max(8u, capacity)) / 4 - 1; }
  uint32_t& chain_of(uint32_t entry, uint32_t workload, Direction direction) {
    uint64_t key = uint64_t{entry} << 33 ^ uint64_t { workload } << 1 ^ static_cast<uint64_t>(direction);
    return chains_[fold_multiply(key, 0x9e3779b97f4a7c15ull) & mask_];
  }
  template <class Visit>
  uint32_t slice(uint32_t from, uint32_t count, Visit visit) const {
    uint32_t at = std::max(1u, from);
    for (; at <= head_->high_water && count; ++at, --count)
      if (hits_[at].workload) visit(at);
    return at <= head_->high_water ? at : 0;
  }
  void release(uint32_t at) {
    Hit& hit = hits_[at];
    uint32_t* link = &chain_of(hit.entry, hit.workload, hit.direction);
    while (*link != at) link = &hits_[*link].next;
    *link = hit.next;
    hit = Hit{};
    hit.next = head_->free;
    head_->free = at;
    --head_->used;
  }

  uint32_t capacity_;  // place 0 among it
  uint32_t mask_;
  TableMemory memory_;
  Head* head_;
  Hit* hits_;
  uint32_t* chains_;  // first place of each
};

}  // namespace headgate
