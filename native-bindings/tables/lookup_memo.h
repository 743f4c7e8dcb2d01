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
    const uint64_t service = uint64_t{service_key(flow)} << 32 | (lookup.asks_source_ports() ? flow.source_port : 0);
    const uint64_t asker = lookup.number() << 32 | workload << 1 | static_cast<uint64_t>(direction);
    const uint64_t key[6] = {
        flow.source.half(0), flow.source.half(1), flow.destination.half(0), flow.destination.half(1), service, asker};
    const uint64_t hash = fold_multiply(key[1] ^ key[0] ^ 0x9e3779b97f4a7c15ull, key[3] ^ key[2] ^ service) ^ asker;
    Entry& e = entries_[fold_multiply(hash, 0xd6e8feb86659fd93ull) & (kEntries - 1)];
    uint64_t differs = 0;
    for (int i = 0; i < 6; ++i) differs |= e.key[i] ^ key[i];
    if (differs) {
      std::copy_n(key, 6, e.key);
      e.entry = lookup.first_match(workload, direction, flow, 0);
    }
    return e.entry;
  }

 private:
  struct alignas(64) Entry {
    uint64_t key[6] = {};
    const IndexEntry* entry = nullptr;
  };
  std::vector<Entry> entries_;
};

}  // namespace headgate
