// What the lookup said lately, of one reader: a client that opens one connection after another to the same service asks
// the same question each time but for its source port, which few rules name. An answer counts only for the Lookup that
// gave it, so no change needs to clear anything.
//
// Direct-mapped, 64 bytes an entry. A bonus of locality: the walk behind it (tables/lookup.h) is what must be fast.
#pragma once

#include "packet/hash.h"
#include "tables/lookup.h"

namespace headgate {

class LookupMemo {
 public:
  static constexpr uint32_t kEntries = 4096;

  LookupMemo() : entries_(kEntries) {}

  // As Lookup::first_match.
  const IndexEntry* first_match(const Lookup& lookup, uint32_t workload, Direction direction, const FlowHeaders& flow,
                                uint64_t from) {
    if (from) return lookup.first_match(workload, direction, flow, from);
    const Key key(lookup, {workload, direction, &flow});
    Entry& e = entries_[key.place()];
    if (e.key != key) e = {key, lookup.first_match(workload, direction, flow, 0)};
    return e.entry;
  }

  // Looks up together what is not remembered of at most Lookup::kBatch questions, so that first_match() finds it.
  void anticipate(const Lookup& lookup, std::span<const Lookup::Question> questions) {
    Lookup::Question unknown[Lookup::kBatch];
    Entry* places[Lookup::kBatch];
    size_t count = 0;
    for (const Lookup::Question& question : questions) {
      const Key key(lookup, question);
      Entry& e = entries_[key.place()];
      if (e.key == key) continue;
      e.key = key;
      unknown[count] = question;
      places[count++] = &e;
    }
    const IndexEntry* answers[Lookup::kBatch];
    lookup.first_matches({unknown, count}, answers);
    // Where two questions share a place, the key is the later one's, and so is the answer that stays.
    for (size_t i = 0; i < count; ++i) places[i]->entry = answers[i];
  }

 private:
  struct Key {
    uint64_t words[6] = {};

    Key() = default;
    Key(const Lookup& lookup, const Lookup::Question& q) {
      const FlowHeaders& flow = *q.flow;
      const uint64_t service = uint64_t{service_key(flow)} << 32 | (lookup.asks_source_ports() ? flow.source_port : 0);
      const uint64_t asker = lookup.number() << 32 | q.workload << 1 | static_cast<uint64_t>(q.direction);
      const uint64_t all[6] = {
          flow.source.half(0), flow.source.half(1), flow.destination.half(0), flow.destination.half(1), service, asker};
      std::copy_n(all, 6, words);
    }
    bool operator==(const Key& other) const {
      uint64_t differs = 0;
      for (int i = 0; i < 6; ++i) differs |= words[i] ^ other.words[i];
      return differs == 0;
    }
    size_t place() const {
      const uint64_t ends = fold_multiply(words[1] ^ words[0] ^ 0x9e3779b97f4a7c15ull, words[3] ^ words[2] ^ words[4]);
      return fold_multiply(ends ^ words[5], 0xd6e8feb86659fd93ull) & (kEntries - 1);
    }
  };
  struct alignas(64) Entry {
    Key key;
    const IndexEntry* entry = nullptr;
  };
  std::vector<Entry> entries_;
};

}  // namespace headgate
