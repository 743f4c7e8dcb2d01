// Builds what tables/lookup.h reads: one shared table of rules with an index per workload. Off the packet threads, on
// one thread.
//
// How a change reaches readers without locks and without a mixture: a new entry takes a free slot, and its bits are put
// into all bitmaps in place, where they mean nothing as long as the slot is not `live`. commit() makes a new `live`
// bitmap, and whatever else changes for entries that are in force already (what an address is in, which index table an
// entry is in) as new copies; the Lookup that it gives refers to all of them, so a reader that takes it over sees all
// of the change or nothing. The bits of what was removed are cleared only when settled() says that nobody reads the
// earlier Lookup.
#pragma once

#include <span>

#include "tables/lookup.h"

namespace headgate {

class Classifier {
 public:
  Classifier();

  // Makes the set or changes it.
  void set_addresses(SetId set, const AddressSet& addresses);
  // No entry's rule names it any more. Its number may be used again after settled().
  void drop_addresses(SetId set);
  // The entry stays where it is until settled() after its removal. `workloads`: the places of its scope's members.
  void add(const IndexEntry* entry, std::span<const uint32_t> workloads);
  void remove(const IndexEntry* entry);
  // The workload enters or leaves scopes: these entries come into its index table or go out of it.
  void join(uint32_t workload, std::span<const IndexEntry* const> entries);
  void leave(uint32_t workload, std::span<const IndexEntry* const> entries);
  // Its place is free; it has left all scopes.
  void forget(uint32_t workload);
  std::shared_ptr<const Lookup> commit();
  // Every reader has taken over what commit() gave last: frees what only earlier ones used.
  void settled();

  // In use by the entries that are in it.
  size_t slots() const { return slots_.used(); }
  static size_t slots_of(const Rule& rule) { return service_parts(rule).size(); }
  size_t memory() const;                           // bytes, without the entries and rules themselves
  size_t blocks() const { return arena_.used(); }  // bytes of it that readers see in blocks made for entries and sets

 private:
  struct Pending {
    const IndexEntry* entry;
    std::vector<uint32_t> workloads;
  };
  // One slot that is to be taken.
  struct Wanted {
    const Pending* pending;
    ServicePart part;
    uint8_t kind;
    // Rules that are looked up together should share words: those with the same cluster, and in it the same neighbour.
    uint32_t cluster, neighbour;
  };
  // What stands in a slot, for the builder.
  struct SlotUse {
    SpecId service = kAnyService;
    SpecId source_ports = kAnyService;
  };
  struct Membership {
    uint32_t workload;
    std::vector<const IndexEntry*> entries;
    bool in;
  };

  std::vector<Wanted> wanted_slots() const;
  void take(const Wanted& wanted);
  uint32_t slot_replaced_by(const IndexEntry* entry) const;
  void take_bulk(std::vector<Wanted> wanted);
  void put_into_indexes(bool bulk);
  void change_index(const Membership& membership);
  void set_index(uint32_t workload, uint32_t index);
  void set_live(const IndexEntry* entry, bool live);
  void take_out(const IndexEntry* entry);
  void take_out_of_indexes(std::vector<uint32_t> slots);
  std::shared_ptr<const Lookup> publish();

  Arena arena_;
  Slots slots_;
  AddressClasses addresses_{arena_};
  ClassRecords records_{arena_, slots_, addresses_.classes()};
  ServiceClasses services_{arena_};
  Reserved<uint64_t> any_service_{Slots::kMost / 64};
  Reserved<SlotUse> uses_{Slots::kMost};  // by slot
  std::vector<Pending> pending_;
  std::vector<Membership> memberships_;
  std::vector<const IndexEntry*> removed_, leaving_;
  std::vector<uint32_t> indexes_;  // by workload
  bool indexes_changed_ = true;
  std::vector<uint64_t> live_[2];
  size_t source_port_slots_ = 0;
  Lookup current_;
};

}  // namespace headgate
