// A generation: everything that the packet path judges by, as one immutable value. The publisher (tables/publisher.h)
// builds the next one off the packet threads; each worker takes it over between two batches, so no batch is judged by a
// mixture. Parts that did not change are shared with the generation before. Workloads, segments and ports are named by
// their place in these lists; a place is reused only after its holder is gone from every worker.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ports/tunnel.h"
#include "tables/lookup.h"
#include "tables/mac_table.h"
#include "tables/services.h"
#include "tables/timeouts.h"

namespace headgate {

// What one workload may begin. 0: nothing is said here, and the next wider setting counts (tables/accounts.h).
struct Limits {
  uint32_t connections = 0;  // open at once
  uint32_t half_open = 0;    // of these not answered yet
  uint32_t new_per_second = 0;

  bool operator==(const Limits&) const = default;
};

// One of the logical switches that an edge pair joins, one frame at a time, to its partner (stages/guard.cc).
struct Bridge {
  uint16_t vlan[2][2] = {};      // outer and inner id, 0: none; of the south and of the north
  uint16_t tracker = 0;          // as a segment's
  uint32_t judge = kNoWorkload;  // place of the tracker: what crosses is judged there
};

// A logical switch; or, with bridges, an edge pair, whose members are its two interfaces.
struct Segment {
  std::string name;
  std::string digest;
  uint16_t vlan[2] = {};           // outer and inner id on trunk ports; 0: none
  uint16_t tracker = 0;            // connections are looked up within a tracker
  std::vector<uint32_t> members;   // workloads
  std::shared_ptr<MacTable> macs;  // shared by generations
  std::vector<Bridge> bridges;
};

// The far side of a segment, behind one tunnel and one remote: what the other hosts have of it. It is a place in the
// segment like a workload, without a firewall of its own: the rules of those workloads are enforced where they are.
struct Remote {
  Address address;
  uint32_t key = 0;       // of the segment in this tunnel
  bool fragment = false;  // what does not fit goes in fragments of the outer packet; else its sender is told
  // Bytes of the longest frame that fits, by the path MTU; kept up to date by the engine. 0: not known yet.
  std::atomic<uint32_t> most{0};
};

enum class EdgeSide : uint8_t { kSouth, kNorth };

// Who has a place of its own: a workload; an interface of an edge pair; a tracker, which has an index table and an
// account for what crosses edge pairs, and neither segment nor port.
struct Workload {
  std::string name;
  std::string digest;
  uint32_t serial = 0;  // never used twice: hit counters are kept by it
  uint32_t segment = kNoSegment;
  uint16_t port = kNoPort;
  uint16_t output = kNoPort;       // the same where frames go straight to it: it is attached, and no tunnel
  std::shared_ptr<Remote> remote;  // null: it is on this host
  std::optional<EdgeSide> side;    // of an edge pair
  bool trunk = false;              // its frames carry the segment's VLAN tags on the port
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
  TunnelPort* tunnel = nullptr;  // the port, if it is one
};

struct TrunkMember {
  uint16_t vlan[2];
  uint32_t workload;
};

// Frames with these tags, as they come in at an interface of an edge pair, are of that bridge.
struct BridgeTags {
  uint32_t tags;  // outer id << 16 | inner id
  uint32_t bridge;

  static uint32_t of(uint16_t outer, uint16_t inner) { return uint32_t{outer} << 16 | inner; }
};

// What the remote and the key are to a tunnel is what the VLAN tags are to a trunk.
struct TunnelMember {
  Address remote;
  uint32_t key;
  uint32_t workload;

  std::pair<Address, uint32_t> hop() const { return {remote, key}; }
};

struct ServiceMember {
  Address remote;  // of a tunnel's; else there is one member
  uint32_t workload;
};

struct PortView {
  std::shared_ptr<AttachedPort> attached;
  bool trunk = false;
  bool edge = false;  // an interface of an edge pair
  TunnelPort* tunnel = nullptr;
  uint32_t workload = kNoWorkload;    // of a port that is neither trunk nor tunnel
  uint32_t partner = kNoWorkload;     // of an edge: the pair's other interface
  const Workload* sender = nullptr;   // the workload, unless it is an edge
  const Segment* segment = nullptr;   // and its segment
  std::vector<TrunkMember> members;   // of a trunk
  std::vector<BridgeTags> by_tags;    // of an edge, sorted
  std::vector<TunnelMember> remotes;  // of a tunnel, by hop()
  // Workloads that service portals are attached as; a port with such has no sender, so that the guard stage looks.
  std::vector<ServiceMember> portals;

  const Bridge* find_bridge(const Headers& h) const {
    constexpr uint16_t kId = 0x0fff;
    const uint32_t tags = BridgeTags::of(h.tags > 0 ? h.vlan[0] & kId : 0, h.tags > 1 ? h.vlan[1] & kId : 0);
    const auto at = std::ranges::lower_bound(by_tags, tags, {}, &BridgeTags::tags);
    return at != by_tags.end() && at->tags == tags ? &segment->bridges[at->bridge] : nullptr;
  }
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
  Profiles profiles;
  Limits limits;  // of the host
  std::shared_ptr<const Lookup> lookup;
  std::shared_ptr<const Services> services;  // null: there are none

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
