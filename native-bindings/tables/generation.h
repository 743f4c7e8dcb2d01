// A generation: everything that the packet path judges by, as one immutable value. The publisher (tables/publisher.h)
// builds the next one off the packet threads; each worker takes it over between two batches, so no batch is judged by a
// mixture. Parts that did not change are shared with the generation before. Workloads, segments and ports are named by
// their place in these lists; a place is reused only after its holder is gone from every worker.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ports/port.h"
#include "tables/lookup.h"
#include "tables/mac_table.h"

namespace headgate {

// Idle times after which a connection is forgotten, in milliseconds.
struct Timeouts {
  uint32_t tcp_opening = 20'000;
  uint32_t tcp_established = 7'440'000;  // RFC 5382, REQ-5
  uint32_t tcp_closing = 10'000;
  uint32_t udp_one_way = 30'000;
  uint32_t udp_two_way = 180'000;  // RFC 4787, REQ-5
  uint32_t icmp = 30'000;
  uint32_t other = 60'000;
  uint32_t denied = 5'000;
};

// What one workload may begin. 0: nothing is said here, and the next wider setting counts (tables/accounts.h).
struct Limits {
  uint32_t connections = 0;  // open at once
  uint32_t half_open = 0;    // of these not answered yet
  uint32_t new_per_second = 0;

  bool operator==(const Limits&) const = default;
};

struct Segment {
  std::string name;
  std::string digest;
  uint16_t vlan[2] = {};           // outer and inner id on trunk ports; 0: none
  uint16_t tracker = 0;            // connections are looked up within a tracker
  std::vector<uint32_t> members;   // workloads
  std::shared_ptr<MacTable> macs;  // shared by generations
};

struct Workload {
  std::string name;
  std::string digest;
  uint32_t serial = 0;  // never used twice: hit counters are kept by it
  uint32_t segment = 0;
  uint16_t port = kNoPort;
  bool trunk = false;  // its frames carry the segment's VLAN tags on the port
  bool pinned_mac = false;
  bool any_address = true;
  Limits limits;
  Mac mac{};
  AddressSet addresses;
};

// A device that the engine reads: one workload's own, or a trunk shared by workloads of several segments.
struct AttachedPort {
  std::unique_ptr<Port> port;
  std::string device;
  bool trunk = false;
};

struct TrunkMember {
  uint16_t vlan[2];
  uint32_t workload;
};

struct PortView {
  std::shared_ptr<AttachedPort> attached;
  bool trunk = false;
  uint32_t workload = kNoWorkload;   // of a port that is no trunk
  const Workload* sender = nullptr;  // the same
  const Segment* segment = nullptr;  // and its segment
  std::vector<TrunkMember> members;  // of a trunk
};

// Who is there and how they are joined: what a change of rules leaves alone.
struct Topology {
  std::vector<std::shared_ptr<const Workload>> workloads;  // null: a free place
  std::vector<std::shared_ptr<const Segment>> segments;    // likewise
  std::vector<PortView> ports;                             // without `attached`: a free place
  std::vector<std::string> trackers;
};

struct Generation {
  Generation() = default;
  Generation(std::shared_ptr<const Topology> topology, std::shared_ptr<const std::vector<uint32_t>> epochs)
      : workloads(topology->workloads),
        segments(topology->segments),
        ports(topology->ports),
        trackers(topology->trackers),
        epochs(*epochs),
        topology(std::move(topology)),
        epochs_held(std::move(epochs)) {}

  uint64_t number = 0;  // of the policy: a device that comes or goes leaves it
  Action default_action = Action::kDrop;
  Timeouts timeouts;
  Limits limits;  // of the host
  std::shared_ptr<const Lookup> lookup;

  // Views of the two below.
  std::span<const std::shared_ptr<const Workload>> workloads;
  std::span<const std::shared_ptr<const Segment>> segments;
  std::span<const PortView> ports;
  std::span<const std::string> trackers;
  // By workload. A number that is never used twice by any workload: a verdict with another one is reached again.
  std::span<const uint32_t> epochs;

  std::shared_ptr<const Topology> topology;
  std::shared_ptr<const std::vector<uint32_t>> epochs_held;
};

}  // namespace headgate
