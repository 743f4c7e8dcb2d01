// Hit counters by (index entry, workload, direction), of one worker. A place is made when the pair is first met, and it
// is kept by serials that are never used twice, so it survives every edit of the entry and of what is around it.
//
// Places are given out one after the other from memory that is there only once it is touched, so memory and walks go
// with what is really used, and nothing is allocated on the packet path. A place is found through chains of a hash.
// When the table is full, further pairs share place 0, which stands for no entry: their flows are judged as ever, but
// reports do not count them, and an edit judges them anew whatever their rule says of live connections.
//
// A place also meters the log lines of its entry (a token bucket) and counts what it swallows.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>

#include "packet/hash.h"
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
  explicit HitTable(uint32_t capacity = 1 << kHitBits)
      : capacity_(capacity), mask_(std::bit_ceil(std::max(8u, capacity)) / 4 - 1) {
    void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    hits_ = static_cast<Hit*>(memory);
    chains_ = reinterpret_cast<uint32_t*>(hits_ + capacity);
  }
  ~HitTable() { munmap(hits_, bytes()); }
  HitTable(const HitTable&) = delete;
  HitTable& operator=(const HitTable&) = delete;

  // The pair's place, made if missing.
  uint32_t place(uint32_t entry, uint32_t workload, Direction direction) {
    uint32_t& chain = chain_of(entry, workload, direction);
    for (uint32_t at = chain; at; at = hits_[at].next) {
      const Hit& hit = hits_[at];
      if (hit.entry == entry && hit.workload == workload && hit.direction == direction) return at;
    }
    uint32_t at = free_;
    if (at)
      free_ = hits_[at].next;
    else if (high_water_ + 1 < capacity_)
      at = ++high_water_;
    else
      return 0;
    Hit& hit = hits_[at];
    hit = Hit{};
    hit.entry = entry;
    hit.workload = workload;
    hit.direction = direction;
    hit.next = chain;
    chain = at;
    ++used_;
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
  bool crowded() const { return used_ > capacity_ / 2; }
  uint32_t size() const { return used_; }

 private:
  size_t bytes() const { return capacity_ * sizeof(Hit) + (size_t{mask_} + 1) * sizeof(uint32_t); }
  uint32_t& chain_of(uint32_t entry, uint32_t workload, Direction direction) {
    uint64_t key = uint64_t{entry} << 33 ^ uint64_t { workload } << 1 ^ static_cast<uint64_t>(direction);
    return chains_[fold_multiply(key, 0x9e3779b97f4a7c15ull) & mask_];
  }
  template <class Visit>
  uint32_t slice(uint32_t from, uint32_t count, Visit visit) const {
    uint32_t at = std::max(1u, from);
    for (; at <= high_water_ && count; ++at, --count)
      if (hits_[at].workload) visit(at);
    return at <= high_water_ ? at : 0;
  }
  void release(uint32_t at) {
    Hit& hit = hits_[at];
    uint32_t* link = &chain_of(hit.entry, hit.workload, hit.direction);
    while (*link != at) link = &hits_[*link].next;
    *link = hit.next;
    hit = Hit{};
    hit.next = free_;
    free_ = at;
    --used_;
  }

  uint32_t capacity_;  // place 0 among it
  uint32_t mask_;
  uint32_t used_ = 0;
  uint32_t high_water_ = 0;  // places [1, high_water_] have been used at some time
  uint32_t free_ = 0;        // chain of freed places
  Hit* hits_;
  uint32_t* chains_;  // first place of each
};

}  // namespace headgate
