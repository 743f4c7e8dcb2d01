// Holds the policy as control has sent it and builds generations from it. Runs off the packet threads, on one thread.
//
// A delta is first checked as a whole against what would be there after it; only then is anything changed, and from
// there on nothing can fail: refused whole or applied whole. Both cost what the delta names, not what is held: every
// thing knows its users.
//
//   address set <- rule <- entry -> scope -> workload -> segment
//
// Places of workloads, segments and ports, numbers of address sets and serials are the publisher's own; control knows
// names and digests only.
#pragma once

#include <map>
#include <unordered_map>
#include <unordered_set>

#include "tables/classifier.h"
#include "tables/delta.h"
#include "tables/names.h"
#include "tables/places.h"

namespace headgate {

class DeltaNames;

class Publisher {
 public:
  static constexpr size_t kMostSlots = 262'144;

  // `most_slots`: how many slots of the lookup all entries together may take (Classifier::slots_of).
  // `first_epoch`: for tests of what happens when the numbers have all been used.
  // `names`: numbers to go on with, and to keep for the engine that follows; null: there are none. `mac_memory`: of MAC
  // tables by segment, as earlier ones left them.
  explicit Publisher(size_t most_slots = kMostSlots, uint32_t first_epoch = 1, Names* names = nullptr,
                     std::span<uint8_t> mac_memory = {});

  // Checks and applies; on a refusal nothing has changed. `build` gives the generation to take over.
  Refusal apply(const Delta& delta);

  // Joins a workload to a device that was opened for it. A trunk is opened once and joined by several workloads.
  Refusal bind(const std::string& workload, std::shared_ptr<AttachedPort> attached);
  // Takes the workload off its device; returns the device when nobody is left on it. For a workload that the last
  // delta removed it returns the device that it had.
  std::shared_ptr<AttachedPort> unbind(const std::string& workload);
  // The trunk that is open on that device, or the tunnel of that name, if any.
  std::shared_ptr<AttachedPort> find_shared(const std::string& device, bool tunnel) const;

  std::shared_ptr<const Generation> build();
  // To be called when every worker has taken over the built generation: lets go of what only earlier ones used.
  void settled();

  uint64_t number() const { return number_; }
  const std::shared_ptr<const Workload>* find_workload(const std::string& name) const;
  uint32_t find_place(const std::string& workload) const;  // kNoWorkload: there is none
  bool published() const { return number_ > 0; }

  struct EntryView {
    std::string digest;
    uint32_t category;
    uint64_t order;
  };
  struct InventoryView {
    std::optional<Action> default_action;
    std::map<std::string, std::string> address_sets, segments, workloads, scopes, portals, tags;
    std::vector<std::string> rules;
    std::map<std::string, EntryView> entries;
  };
  InventoryView inventory() const;

  // All that it holds as one change, as another publisher takes it to hold the same, but for segments, workloads,
  // portals and tags (publisher_policy.cc).
  Delta policy() const;
  // The numbers by which another publisher, which was given that change, is the same to the packet path: verdicts and
  // control's deltas go on to count.
  struct Numbering {
    uint64_t number = 0;
    std::unordered_map<std::string, uint32_t> epochs;  // by workload
  };
  Numbering numbering() const;
  void continue_as(const Numbering& numbering);

  // For reports: what a serial in a hit counter stands for; empty when it is gone.
  std::string entry_id(uint32_t serial) const;
  uint32_t entry_serial(const std::string& id) const;  // 0: there is none
  std::string workload_name(uint32_t serial) const;
  // By place: whether a service tag has it, or had it in an engine before.
  std::vector<bool> known_tags() const;
  // Trackers keep their numbers for good; empty: there is none.
  std::string tracker_name(uint16_t number) const {
    return number < trackers_.size() ? trackers_[number] : std::string();
  }

 private:
  struct HeldRule;
  struct HeldEntry;
  struct HeldSet {
    std::string digest;
    uint32_t number = 0;  // what rules and the classifier call it
    AddressSet addresses;
    std::unordered_set<HeldRule*> rules;  // that name it
  };
  struct HeldRule {
    std::shared_ptr<const Rule> rule;
    size_t slots = 0;            // that each of its entries takes
    std::vector<HeldSet*> sets;  // that it names, each once
    std::unordered_set<HeldEntry*> entries;
  };
  struct HeldProfile {
    std::string name;  // empty: the number is free
    ProfileChange change;
    size_t entries = 0;  // that name it
  };
  struct Scope {
    std::string name;
    std::string digest;
    std::vector<uint32_t> members;           // places of workloads, sorted
    std::vector<const IndexEntry*> entries;  // in any order
    uint64_t touched = 0;                    // number of the delta that last gave its members new epochs
  };
  struct HeldEntry {
    std::string digest;
    uint32_t serial = 0;
    std::unique_ptr<const IndexEntry> entry;  // null: out of the classifier while a delta is applied
    HeldRule* rule = nullptr;
    Scope* scope = nullptr;
    size_t place = 0;  // among the scope's entries
    std::string tag;   // of an insertion
  };
  struct HeldPortal {
    PortalChange change;
    uint32_t place = 0;
    std::shared_ptr<PortalHealth> health;
  };
  struct HeldTag {
    ServiceTagChange change;
    uint32_t place = 0;
    uint32_t serial = 0;
  };
  struct HeldLeg {
    uint32_t place;
    uint32_t serial;
  };
  struct OpenPort {
    std::shared_ptr<AttachedPort> attached;  // null: a free place
    uint32_t users = 0;
  };
  struct SegmentUse {
    uint32_t workloads = 0;
    uint32_t pinned = 0;  // of them with a MAC of their own
  };
  using ByName = std::unordered_map<std::string, uint32_t>;

  // publisher_check.cc, publisher_check_places.cc
  Refusal check(const Delta& delta) const;
  Refusal check_sets(const Delta& delta, const DeltaNames& names) const;
  Refusal check_rules(const Delta& delta, const DeltaNames& names) const;
  Refusal check_scopes(const Delta& delta, const DeltaNames& names) const;
  Refusal check_entries(const Delta& delta, const DeltaNames& names) const;
  Refusal check_profiles(const Delta& delta, const DeltaNames& names) const;
  Refusal check_users(const Delta& delta, const DeltaNames& names) const;
  Refusal check_slots(const Delta& delta, const DeltaNames& names) const;
  Refusal check_segments(const Delta& delta, const DeltaNames& names) const;
  Refusal check_workloads(const Delta& delta, const DeltaNames& names) const;
  Refusal check_macs(const Delta& delta, const DeltaNames& names) const;
  Refusal check_leavers(const Delta& delta, const DeltaNames& names) const;
  Refusal check_bridges(const SegmentChange& edge, const std::string& where, const DeltaNames& names) const;
  Refusal check_side(const WorkloadChange& w, const std::string& where, const DeltaNames& names) const;
  Refusal check_judges(const Delta& delta, const DeltaNames& names) const;

  // publisher_services.cc
  Refusal check_services(const Delta& delta, const DeltaNames& names) const;
  Refusal check_tags(const Delta& delta, const DeltaNames& names) const;
  Refusal check_insertions(const Delta& delta, const DeltaNames& names) const;
  void apply_services(const Delta& delta);
  void remove_services(const Delta& delta);
  void make_services();
  Names::Numbers numbers_of(Names::Kind kind, const std::string& name, Places& places, uint32_t first);
  Leg make_leg(const std::string& tag, size_t hop, const LegChange& change, std::map<std::string, HeldLeg>& kept);

  // publisher.cc
  void apply_profiles(const Delta& delta);
  uint8_t find_profile(const std::string& name) const;
  Profiles make_profiles() const;
  void take_out_entries(const Delta& delta);
  void apply_sets(const Delta& delta);
  void change_set(HeldSet& set, const std::string& digest, AddressSet addresses);
  void apply_rules(const Delta& delta);
  void apply_scopes(const Delta& delta);
  void change_members(Scope& scope, std::vector<uint32_t> members);
  void put_in_entries(const Delta& delta);
  void remove_policy(const Delta& delta);
  bool same(const HeldEntry& held, const EntryChange& change) const;
  const IndexEntry& take_out(HeldEntry& held);
  void put_in(HeldEntry& held, IndexEntry entry, HeldRule& rule, Scope& scope);
  void leave_scope(HeldEntry& held);
  void link(HeldRule& held, const RuleChange& change);
  void unlink(HeldRule& held);
  std::vector<uint32_t> places_of(const std::vector<std::string>& names) const;
  void touch(uint32_t workload);
  void touch(Scope& scope);
  void start_epochs_anew();

  // publisher_places.cc
  void apply_segments(const Delta& delta);
  void apply_bridges(const Delta& delta);
  void apply_workloads(const Delta& delta);
  uint16_t tracker_number(const std::string& name);
  void remove_places(const Delta& delta);
  void leave_segment(uint32_t workload);
  Refusal join_port(Workload& workload, std::shared_ptr<AttachedPort> attached);
  std::shared_ptr<const Topology> make_topology() const;
  void make_edge(PortView& view, EdgeSide side) const;
  std::shared_ptr<MacTable> macs_of(uint32_t segment, bool former) const;
  void leave_former(bool with_profiles);

  std::unique_ptr<Names> own_names_;  // where none were given
  Names& names_;
  std::span<uint8_t> mac_memory_;
  bool former_left_ = false;  // what only an engine before had is forgotten
  const size_t most_slots_;
  uint64_t number_ = 0;
  Action default_action_ = Action::kDrop;
  Profile host_profile_;
  std::array<HeldProfile, kProfiles> profiles_;  // by number; that of the host has no name
  Limits limits_;

  std::unordered_map<std::string, HeldSet> sets_;
  Places set_numbers_;
  std::unordered_map<std::string, HeldRule> rules_;
  std::unordered_map<std::string, Scope> scopes_;
  std::unordered_map<std::string, HeldEntry> entries_;
  std::unordered_map<uint64_t, const HeldEntry*> orders_;
  std::unordered_map<uint32_t, HeldEntry*> entries_by_serial_;
  std::vector<std::unique_ptr<const IndexEntry>> retired_;  // until settled
  size_t slots_ = 0;                                        // that all entries take
  Classifier classifier_;

  ByName segment_places_;
  Places segment_numbers_;
  std::vector<std::shared_ptr<const Segment>> segments_;
  std::vector<SegmentUse> uses_;                         // by segment
  std::map<std::pair<uint32_t, Mac>, uint32_t> pinned_;  // workload by segment and MAC
  ByName workload_places_;
  Places workload_numbers_;
  std::vector<std::shared_ptr<const Workload>> workloads_;
  std::vector<std::vector<Scope*>> scopes_of_;                // by workload
  std::unordered_map<uint32_t, std::string> workload_names_;  // by serial
  std::vector<std::string> trackers_;
  std::vector<OpenPort> ports_;
  std::unordered_map<std::string, std::shared_ptr<AttachedPort>> released_;  // of workloads that the last delta removed
  std::vector<std::pair<std::shared_ptr<MacTable>, uint32_t>> forget_;       // MACs of workloads that left

  std::map<std::string, HeldPortal> portals_;
  std::map<std::string, HeldTag> tags_;
  std::map<std::string, HeldLeg> legs_;  // by tag, hop and portal
  Places portal_numbers_;
  Places tag_numbers_;
  Places leg_numbers_;
  bool services_stale_ = false;

  uint32_t next_epoch_;            // 0: never judged
  std::vector<uint32_t> epochs_;   // by workload
  std::vector<uint64_t> touched_;  // by workload: number of the delta that last gave it a new epoch

  // Parts of the last generation; null: to be made anew.
  std::shared_ptr<const Topology> topology_;
  std::shared_ptr<const std::vector<uint32_t>> epochs_built_;
  std::shared_ptr<const Lookup> lookup_;
  std::shared_ptr<const Services> services_;
};

}  // namespace headgate
