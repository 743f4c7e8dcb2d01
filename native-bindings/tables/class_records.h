// What the class of an address says about slots: for each side (source, destination) the words of slots whose rules
// name a set of that class.
//
// Tiers keep this small. A narrow set, one in few classes, is merged into the record of each of its classes. Wide sets
// are merged once for each distinct collection of wide sets that some class has: a part, shared by all those classes.
// Loose sets combine so freely with others (tags on workloads) that even those collections would be too many: each is a
// part of its own.
//
// Records are edited in place only by setting bits of slots that no reader counts yet; anything else makes a copy and
// swaps one offset.
#pragma once

#include <deque>

#include "tables/class_map.h"
#include "tables/slots.h"
#include "tables/small_list.h"
#include "tables/word_set.h"

namespace headgate {

using SetId = uint32_t;
enum SideOf { kSource = 0, kDestination = 1 };

constexpr int kLists = 5;  // of a record: words alone, then those with both sides by kWideSource and kWideDestination

// In the arena: this header, then bits[words], then indexes of those words, then part ids. `alone` are words of slots
// whose rules leave the other side open.
struct SideRecord {
  uint16_t ends[kLists];
  uint8_t lists;  // bit i: list i + 1 is not empty
  uint8_t unused;
  uint16_t parts;
  uint16_t unused2;
  uint32_t ranked;     // a WordSet of all words with both sides, where they are many
  uint32_t lowest;     // of those words: no slot's order is below it, in units of 1 << Slots::kOrderUnit
  uint64_t signature;  // of those words: bit (index & 63)

  uint32_t words() const { return ends[kLists - 1]; }
  uint32_t alone() const { return ends[0]; }
  uint64_t* bits() const { return const_cast<uint64_t*>(reinterpret_cast<const uint64_t*>(this + 1)); }
  const uint32_t* indexes() const { return reinterpret_cast<const uint32_t*>(bits() + words()); }
  const uint32_t* part_ids() const { return indexes() + words(); }
  size_t bytes() const { return sizeof(SideRecord) + 12 * size_t{words()} + 4 * size_t{parts}; }
};
static_assert(sizeof(SideRecord) == 32);

class ClassRecords {
 public:
  static constexpr uint32_t kNarrow = 32;      // most classes of a narrow set
  static constexpr uint32_t kMergeable = 512;  // most parts that a wide set is merged into
  static constexpr size_t kMostParts = 63;     // of one class: loose sets beyond are merged after all
  static constexpr size_t kShort = 12;         // words that are searched one by one

  ClassRecords(Arena& arena, const Slots& slots, const Classes& classes)
      : arena_(arena), slots_(slots), classes_(classes) {}

  // Slots whose rules name the set on that side.
  void add_slot(SetId set, SideOf side, uint32_t slot);
  void remove_slot(SetId set, SideOf side, uint32_t slot);

  // Takes in what became of the classes.
  void classes_changed(const std::vector<Classes::Made>& made, const std::vector<ClassId>& gone);
  // Makes the records of new and retiered classes; of all, where `all` is set (after many add_slot with `bulk`).
  void build(bool all);
  // One new slot whose sets know it already: puts its bit into the records that need it.
  void set_bit(const std::vector<SetId>& sets, SideOf side, uint32_t slot);
  void clear_bit(const std::vector<SetId>& sets, SideOf side, uint32_t slot);
  // Frees the records of classes that went; no reader knows them any more.
  void settle();

  bool is_wide(SetId set) const { return set < sets_.size() && sets_[set].tier != Tier::kNarrow; }
  // Slots whose rules name the set on that side.
  size_t slots_of(SetId set, SideOf side) const { return set < sets_.size() ? sets_[set].slots[side].size() : 0; }

  const uint32_t* class_records(SideOf side) const { return class_records_[side].data(); }
  const uint32_t* part_records(SideOf side) const { return part_records_[side].data(); }
  size_t memory() const;

 private:
  enum class Tier : uint8_t { kNarrow, kMerged, kLoose };
  struct Set {
    SmallList slots[2];
    SmallList in;  // classes while it is narrow, parts while it is wide
    uint32_t class_count = 0;
    Tier tier = Tier::kNarrow;
    bool unused() const { return class_count == 0 && in.empty(); }
  };

  Set& set_of(SetId set);
  void widen(SetId set);
  void loosen(SetId set);
  std::vector<uint32_t> acquire_parts(ClassId id);
  std::vector<uint32_t> parts_of(ClassId id) const;
  void note_parts();
  uint32_t make(std::span<const SetId> sets, const std::vector<uint32_t>& parts, SideOf side);
  using Lists = std::array<std::vector<SlotWord>, kLists>;
  uint32_t make(const Lists& lists, const std::vector<uint32_t>& parts);
  int list_of(SideOf side, uint32_t slot) const;
  uint32_t lowest_of(const SlotWord& word) const;
  void replace(uint32_t& record, uint32_t now);
  void drop(uint32_t record);
  void edit(uint32_t& record, SideOf side, uint32_t slot, bool set);
  template <class Visit>
  void each_record(const std::vector<SetId>& sets, SideOf side, Visit visit);

  Arena& arena_;
  const Slots& slots_;
  const Classes& classes_;
  std::deque<Set> sets_;
  InternedSets parts_;          // collections of wide sets
  std::vector<ClassId> dirty_;  // classes whose records have to be made
  std::vector<uint32_t> dirty_parts_, leaving_parts_;
  std::vector<SetId> overmerged_;  // in more parts than they should be
  std::vector<ClassId> leaving_;
  Reserved<uint32_t> class_records_[2] = {Reserved<uint32_t>(1 << 24), Reserved<uint32_t>(1 << 24)};
  Reserved<uint32_t> part_records_[2] = {Reserved<uint32_t>(1 << 24), Reserved<uint32_t>(1 << 24)};
  WordGatherer gatherer_;
};

}  // namespace headgate
