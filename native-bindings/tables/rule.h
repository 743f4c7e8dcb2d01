// A rule of the shared table: what it matches and what it does. Each distinct rule is held once, whatever entries refer
// to it; category, order, direction and scope are theirs (tables/index_entry.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tables/address_set.h"

namespace headgate {

enum class Action : uint8_t { kAllow, kDrop, kReject, kPass };
enum class OnChange : uint8_t { kReevaluate, kKeep, kReset };
// Which application's data connections are let through beside the connections that the rule allows
// (tables/expectations.h).
enum class Helper : uint8_t { kNone, kFtp, kTftp };
// Seen from the workload.
enum class Direction : uint8_t { kIn = 0, kOut = 1 };

inline const char* name_of(Action a) {
  constexpr const char* kNames[] = {"allow", "drop", "reject", "pass"};
  return kNames[static_cast<int>(a)];
}

inline const char* name_of(Direction d) {
  return d == Direction::kIn ? "in" : "out";
}

// What the lookup asks about: the first packet of a flow. Ports are zero where the protocol has none.
struct FlowHeaders {
  Address source;
  Address destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
};

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 65535;
};

// One alternative of a rule's services; an empty list or a negative number means any.
struct ServiceMatch {
  int protocol = -1;
  int icmp_type = -1;
  int icmp_code = -1;
  std::vector<PortRange> ports;
  std::vector<PortRange> source_ports;
};

// Immutable. Address sets are named by the publisher's numbers for them.
struct Rule {
  std::string key;  // control's digest of the content
  // Absent: any address. Present and empty: no address, so the rule matches nothing.
  std::optional<std::vector<uint32_t>> sources;
  std::optional<std::vector<uint32_t>> destinations;
  // Absent: any protocol. Present and empty: none.
  std::optional<std::vector<ServiceMatch>> services;
  Action action = Action::kDrop;
  OnChange on_change = OnChange::kReevaluate;
  bool observe = false;
  bool log = false;
  Helper helper = Helper::kNone;
};

}  // namespace headgate
