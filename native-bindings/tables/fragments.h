// Remembers the ports of fragmented packets between their first fragment and the later ones, which carry none, so that
// every fragment is judged as the flow it belongs to (RFC 791, 3.2; RFC 8200, 4.5). First fragments must come first:
// a later one that is not remembered is refused. A set-associative array of fixed size; a set full of live entries
// remembers nothing more.
#pragma once

#include <cstdint>
#include <vector>

#include "packet/hash.h"
#include "packet/headers.h"

namespace headgate {

class FragmentTable {
 public:
  // Notes a first fragment. False when there is no room.
  bool remember(const Headers& h, uint16_t tracker, uint32_t now) {
    Entry* room = nullptr;
    for (Entry& e : set_of(h, tracker)) {
      bool live = e.used && now - e.seen < kTimeout;
      if (live && e.is(h, tracker)) room = &e;
      if (!room && !live) room = &e;
    }
    if (!room) return false;
    *room = {h.source, h.destination, h.fragment_id, now,         h.source_port, h.destination_port,
             tracker,  h.protocol,    h.icmp_type,   h.icmp_code, true};
    return true;
  }

  // Fills in what the first fragment said. False when it was not seen.
  bool resolve(Headers& h, uint16_t tracker, uint32_t now) {
    for (const Entry& e : set_of(h, tracker)) {
      if (!e.used || now - e.seen >= kTimeout || !e.is(h, tracker)) continue;
      h.source_port = e.source_port;
      h.destination_port = e.destination_port;
      h.icmp_type = e.icmp_type;
      h.icmp_code = e.icmp_code;
      return true;
    }
    return false;
  }

 private:
  static constexpr uint32_t kSets = 1024;
  static constexpr uint32_t kWays = 4;
  static constexpr uint32_t kTimeout = 30'000;  // milliseconds

  struct Entry {
    Address source;
    Address destination;
    uint32_t id;
    uint32_t seen;
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t tracker;
    uint8_t protocol;
    uint8_t icmp_type;
    uint8_t icmp_code;
    bool used;
    bool is(const Headers& h, uint16_t t) const {
      return id == h.fragment_id && tracker == t && protocol == h.protocol && source == h.source &&
             destination == h.destination;
    }
  };
  struct Set {
    Entry ways[kWays];
    Entry* begin() { return ways; }
    Entry* end() { return ways + kWays; }
  };
  Set& set_of(const Headers& h, uint16_t tracker) {
    uint64_t mixed = hash_endpoint(h.source, 0, h.fragment_id) + hash_endpoint(h.destination, tracker, h.protocol);
    return sets_[mixed % kSets];
  }
  std::vector<Set> sets_{kSets};
};

}  // namespace headgate
