// Services: what frames are sent through on their way, by tags.
//
// A service tag stands for (client, service). It names the hops that a client's frames take, in order: each a service
// portal, or what stands in for it, under a key of that portal's encapsulation (a VLAN id, a VNI ...). One leg is one
// portal at one hop. A frame that comes in on a portal's port under a leg's key comes back from that hop, whatever
// addresses it carries: so tenants with the same addresses are told apart.
//
// An engine plays two roles with the same table. Where a client is attached, rules choose the tag for a flow
// (IndexEntry::tag), the connection remembers it, and after the last hop a frame goes on in the tag's segment. At a
// gateway the tag has an entry, a leg as well: frames come in there and go back there after the last hop. To the first
// role the gateway is a portal like any other.
//
// Replies take the hops in the opposite order, as they would through appliances that are wired in a row.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "packet/headers.h"
#include "tables/portal_health.h"

namespace headgate {

constexpr uint8_t kMostHops = 8;
constexpr size_t kMostLegsOfHop = 8;
constexpr uint8_t kEntryHop = 0xff;        // of a frame that comes in at a gateway
constexpr uint16_t kTagByRecord = 0xffff;  // of a frame that lost its tag: its connection knows
constexpr uint16_t kMostTags = 0x7fff;     // places of tags are below; 0 is none
constexpr uint32_t kNoSegment = UINT32_MAX;

enum class ProbeKind : uint8_t { kNone, kIcmp, kTcp, kHttp };

struct Probe {
  ProbeKind kind = ProbeKind::kNone;
  Address address{};        // of the portal, IPv4
  Address source{};         // and of the engine where it asks
  Mac mac{};                // likewise
  uint16_t port = 0;        // TCP and HTTP
  std::string path{};       // HTTP
  uint32_t key = 0;         // that probes go under; 0: as the portal's workload sends
  uint32_t interval = 200;  // milliseconds
  uint32_t failures = 3;    // in a row, and it is down

  bool operator==(const Probe&) const = default;
};

struct Portal {
  std::string name;
  std::string digest;
  uint32_t workload = 0;   // place of the workload that it is attached as
  bool nsh = false;        // keys are a path and, in the last 8 bits, an index
  bool by_record = false;  // it loses tags: what comes back without one is told by its connection
  Probe probe;
  std::shared_ptr<PortalHealth> health;
};

struct Leg {
  uint16_t portal = 0;  // place
  uint16_t place = 0;   // of its counters
  uint32_t serial = 0;  // never used twice: counters are kept by it
  uint32_t key = 0;
};

struct Hop {
  bool open = false;      // frames skip it when no leg is up; else they are dropped
  std::vector<Leg> legs;  // the portal itself, then its alternates
};

struct ServiceTag {
  std::string name;
  std::string digest;
  uint32_t serial = 0;  // likewise
  uint16_t tracker = 0;
  uint32_t segment = UINT32_MAX;  // of the client, where it is attached here
  std::unique_ptr<Leg> entry;     // of a gateway; null where rules choose the tag
  std::vector<Hop> hops;
};

struct Arrival {
  uint16_t tag;
  uint8_t hop;
  const Leg* leg;
};

// Immutable but for the health of portals; a part of a generation.
struct Services {
  std::vector<std::shared_ptr<const Portal>> portals;              // by place; null: free
  std::vector<std::shared_ptr<const ServiceTag>> tags;             // likewise; place 0 is none
  std::unordered_map<uint64_t, Arrival> arrivals;                  // by port_key()
  std::unordered_map<uint32_t, std::vector<uint16_t>> portals_of;  // by workload
  size_t legs = 0;                                                 // places of counters

  static uint64_t port_key(uint32_t workload, uint32_t key) { return uint64_t{workload} << 32 | key; }
  const Arrival* find(uint32_t workload, uint32_t key) const {
    const auto found = arrivals.find(port_key(workload, key));
    return found == arrivals.end() ? nullptr : &found->second;
  }
  const ServiceTag* tag(uint16_t place) const { return place < tags.size() ? tags[place].get() : nullptr; }
};

}  // namespace headgate
