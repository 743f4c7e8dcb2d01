// The address sets of one family, IPv4 or IPv6, as ranges of numbers, and the classes that they cut its addresses into.
// There are very many sets, most of them one range: what is held of one is 8 bytes and its ranges.
#pragma once

#include "tables/class_map.h"

namespace headgate {

template <class Key>
class AddressFamily {
 public:
  using Range = KeyRange<Key>;
  using Ranges = std::vector<Range>;  // sorted, disjoint
  struct Change {
    Range range;
    uint32_t set;
    bool add;
  };

  explicit AddressFamily(Classes& classes) : map_(classes) {}

  // Makes the set or changes it; an empty one goes. The map follows with take_in() or rebuild().
  void set(uint32_t id, const Ranges& now) {
    const Ranges was = ranges_of(id);
    for (const Range& r : without(was, now)) changes_.push_back({r, id, false});
    for (const Range& r : without(now, was)) changes_.push_back({r, id, true});
    hold(id, now);
  }
  size_t changes() const { return changes_.size(); }
  // Costs what changed. Gives what did.
  std::vector<Change> take_in() {
    for (const Change& c : changes_) map_.change(c.range, c.set, c.add);
    return std::exchange(changes_, {});
  }
  // Costs what is held.
  void rebuild() {
    std::vector<typename ClassMap<Key>::Part> parts;
    for (uint32_t id = 0; id < held_.size(); ++id)
      for (const Range& r : ranges_of(id)) parts.push_back({r, id});
    map_.rebuild(parts);
    changes_.clear();
  }
  const ClassMap<Key>& map() const { return map_; }
  size_t memory() const { return map_.memory() + held_.memory() + ranges_.memory(); }

 private:
  struct Held {
    uint32_t ranges;  // in the arena, which does not align them
    uint32_t count;
  };

  Ranges ranges_of(uint32_t id) const {
    if (id >= held_.size()) return {};
    Ranges out(held_[id].count);
    if (!out.empty()) memcpy(out.data(), ranges_.at<void>(held_[id].ranges), out.size() * sizeof(Range));
    return out;
  }
  void hold(uint32_t id, const Ranges& now) {
    held_.grow(id + 1);
    Held& held = held_[id];
    ranges_.retire(held.ranges, held.count * sizeof(Range));
    ranges_.settle();
    held = {};
    if (now.empty()) return;
    held = {ranges_.allocate(now.size() * sizeof(Range)), static_cast<uint32_t>(now.size())};
    memcpy(ranges_.at<void>(held.ranges), now.data(), now.size() * sizeof(Range));
  }

  // What is in `a` and not in `b`.
  static Ranges without(const Ranges& a, const Ranges& b) {
    Ranges left;
    size_t j = 0;
    for (Range r : a) {
      while (j < b.size() && b[j].last < r.first) ++j;
      bool gone = false;
      for (size_t k = j; k < b.size() && b[k].first <= r.last; ++k) {
        if (r.first < b[k].first) left.push_back({r.first, b[k].first - 1});
        if (r.last <= b[k].last) {
          gone = true;
          break;
        }
        r.first = b[k].last + 1;
      }
      if (!gone) left.push_back(r);
    }
    return left;
  }

  ClassMap<Key> map_;
  Arena ranges_{size_t{1} << 32};
  Reserved<Held> held_{1 << 24};  // by set
  std::vector<Change> changes_;
};

}  // namespace headgate
