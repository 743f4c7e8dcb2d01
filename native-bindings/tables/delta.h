// A change of policy as control sends it (src/engine/messages.ts, deltaSchema). Texts are not yet checked:
// the publisher checks everything and refuses the whole delta with an error that says what and where.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tables/generation.h"

namespace headgate {

struct AddressSetChange {
  std::string name;
  std::string digest;
  std::vector<std::string> ranges;
};

// Of a set that is held: takes `remove` out of it and then puts `add` into it.
struct AddressSetEdit {
  std::string name;
  std::string digest;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

struct RuleChange {
  std::string key;
  std::optional<std::vector<std::string>> sources;  // names of address sets
  std::optional<std::vector<std::string>> destinations;
  std::optional<std::vector<ServiceMatch>> services;
  Action action = Action::kDrop;
  OnChange on_change = OnChange::kReevaluate;
  bool observe = false;
  bool log = false;
  Helper helper = Helper::kNone;
};

struct BridgeChange {
  int vlan[2][2] = {};  // of the south and of the north
  std::string tracker;
  std::string judge;  // name of a workload without a segment
};

struct SegmentChange {
  std::string name;
  std::string digest;
  int vlan = 0;
  int inner_vlan = 0;
  std::string tracker;                     // empty: an edge pair
  std::vector<BridgeChange> bridges = {};  // of an edge pair
};

// Of a workload that stands for the far side of a segment (tables/generation.h).
struct RemoteChange {
  std::string address;
  uint32_t key = 0;
  bool fragment = false;
};

struct WorkloadChange {
  std::string name;
  std::string digest;
  std::string segment;  // empty: a tracker
  bool trunk = false;
  std::optional<std::string> mac;
  std::optional<std::vector<std::string>> addresses;
  Limits limits = {};
  std::optional<EdgeSide> side = {};  // its segment is an edge pair
  std::optional<RemoteChange> remote = {};
};

struct ScopeChange {
  std::string name;
  std::string digest;
  std::vector<std::string> workloads;
};

struct ScopeEdit {
  std::string name;
  std::string digest;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

// A profile by name. What is absent is as the host's.
struct ProfileChange {
  std::string name;
  std::optional<TrackingMode> mode;
  std::array<std::optional<uint32_t>, kTimeoutFields.size()> timeouts;  // milliseconds, in the order of kTimeoutFields
};

struct EntryChange {
  std::string id;
  std::string digest;
  std::string rule;       // key
  uint32_t category = 0;  // below kCategories
  uint64_t order = 0;     // below 2^kCategoryShift
  bool in = false;
  bool out = false;
  std::string scope;
  std::string profile = {};  // empty: the host's
  std::string tag = {};      // of an insertion: the service tag
};

// A service portal (tables/services.h). Addresses are texts.
struct PortalChange {
  struct Health {
    ProbeKind kind = ProbeKind::kNone;
    std::string address, source, mac, path;
    uint16_t port = 0;
    uint32_t key = 0;
    uint32_t interval = 200;  // milliseconds
    uint32_t failures = 3;
  };
  std::string name;
  std::string digest;
  std::string workload;
  bool by_record = false;
  bool nsh = false;
  Health health = {};
};

struct LegChange {
  std::string portal;
  uint32_t key = 0;
};

struct HopChange {
  bool open = false;
  std::vector<LegChange> legs;
};

struct ServiceTagChange {
  std::string name;
  std::string digest;
  std::string tracker;                      // of a gateway's
  std::optional<std::string> segment = {};  // where rules choose the tag
  std::optional<LegChange> entry = {};      // of a gateway's
  std::vector<HopChange> hops = {};
};

struct Delta {
  std::optional<uint64_t> base;  // the generation that it was made against
  std::optional<Action> default_action;
  std::optional<TrackingMode> mode;                    // of the host's profile
  std::optional<Timeouts> timeouts;                    // likewise
  std::optional<std::vector<ProfileChange>> profiles;  // all there are from now on
  std::optional<Limits> limits;
  std::vector<AddressSetChange> set_address_sets;
  std::vector<AddressSetEdit> edit_address_sets;
  std::vector<RuleChange> set_rules;
  std::vector<SegmentChange> set_segments;
  std::vector<WorkloadChange> set_workloads;
  std::vector<ScopeChange> set_scopes;
  std::vector<ScopeEdit> edit_scopes;
  std::vector<EntryChange> set_entries;
  std::vector<PortalChange> set_portals;
  std::vector<ServiceTagChange> set_tags;
  std::vector<std::string> remove_address_sets;
  std::vector<std::string> remove_rules;
  std::vector<std::string> remove_segments;
  std::vector<std::string> remove_workloads;
  std::vector<std::string> remove_scopes;
  std::vector<std::string> remove_entries;
  std::vector<std::string> remove_portals;
  std::vector<std::string> remove_tags;
};

// A refusal: a code for programs and a sentence for people.
struct Refusal {
  std::string code;
  std::string message;
  explicit operator bool() const { return !code.empty(); }
};

}  // namespace headgate
