// Keys (addresses, ports) -> classes. A class is the set of all sets that hold a key: two keys of one class are the
// same to every rule. The key space is cut into runs of one class, sorted; sets of sets are interned, so that each
// class exists once (equivalence classes as in Gupta and McKeown, "Packet classification on multiple fields", 1999,
// grown and shrunk in place).
//
// change() edits the runs within one range and costs what they are; rebuild() sweeps over all ranges at once, which is
// cheaper when much changes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tables/interned_sets.h"

namespace headgate {

using ClassId = InternedSets::Id;
constexpr ClassId kEmptyClass = InternedSets::kEmpty;  // keys that no set holds

using Classes = InternedSets;

template <class Key>
struct KeyRange {
  Key first, last;  // inclusive
};

template <class Key>
class ClassMap {
 public:
  struct Run {
    Key first;
    ClassId id;
  };
  static constexpr Key kLast = static_cast<Key>(~Key{0});

  explicit ClassMap(Classes& classes) : classes_(classes), runs_{{Key{0}, kEmptyClass}} {
    classes_.acquire(kEmptyClass);
  }

  const std::vector<Run>& runs() const { return runs_; }
  Key last_of(size_t run) const { return run + 1 < runs_.size() ? runs_[run + 1].first - 1 : kLast; }
  size_t run_of(Key key) const {
    auto after = std::upper_bound(runs_.begin(), runs_.end(), key, [](Key k, const Run& r) { return k < r.first; });
    return static_cast<size_t>(after - runs_.begin()) - 1;
  }

  // Puts the set into, or takes it out of, the classes of all keys in the range.
  void change(KeyRange<Key> range, uint32_t set, bool add) {
    size_t begin = run_of(range.first), end = run_of(range.last) + 1;
    std::vector<Run> now;
    if (runs_[begin].first < range.first) put(now, runs_[begin].first, runs_[begin].id);
    ClassId from = UINT32_MAX, to = 0;
    for (size_t i = begin; i < end; ++i) {
      Key first = std::max(runs_[i].first, range.first);
      if (runs_[i].id == from) {
        classes_.acquire(to);
      } else {
        from = runs_[i].id;
        to = classes_.acquire(with(classes_.sets(from), set, add), from);
      }
      put(now, first, to);
      classes_.release(to);  // put counts its own uses
    }
    if (range.last < last_of(end - 1)) put(now, range.last + 1, runs_[end - 1].id);
    for (size_t i = begin; i < end; ++i) classes_.release(runs_[i].id);
    if (begin > 0 && !now.empty() && runs_[begin - 1].id == now[0].id) {
      now[0].first = runs_[begin - 1].first;
      classes_.release(runs_[--begin].id);
    }
    if (end < runs_.size() && runs_[end].id == now.back().id) classes_.release(runs_[end++].id);
    replace(begin, end, now);
  }

  struct Part {
    KeyRange<Key> range;
    uint32_t set;
  };
  // Forgets the runs and makes them from all sets. The ranges of one set do not overlap.
  void rebuild(const std::vector<Part>& parts) {
    struct Event {
      Key at;
      uint32_t set;
      bool add;
    };
    std::vector<Event> events;
    events.reserve(2 * parts.size());
    for (const Part& p : parts) {
      events.push_back({p.range.first, p.set, true});
      if (p.range.last != kLast) events.push_back({p.range.last + 1, p.set, false});
    }
    // Where one range of a set ends another may begin: it goes out before it comes in.
    std::sort(events.begin(), events.end(),
              [](const Event& a, const Event& b) { return a.at != b.at ? a.at < b.at : a.add < b.add; });
    std::vector<Run> now;
    std::vector<uint32_t> sets;
    put(now, Key{0}, kEmptyClass);
    for (size_t i = 0; i < events.size();) {
      Key at = events[i].at;
      for (; i < events.size() && events[i].at == at; ++i) toggle(sets, events[i].set, events[i].add);
      ClassId id = classes_.acquire(sets);
      put_from(now, at, id);
      classes_.release(id);
    }
    for (const Run& r : runs_) classes_.release(r.id);
    runs_ = std::move(now);
    runs_.shrink_to_fit();
  }

  size_t memory() const { return runs_.capacity() * sizeof(Run); }

 private:
  static std::vector<uint32_t> with(std::span<const uint32_t> sets, uint32_t set, bool add) {
    std::vector<uint32_t> now(sets.begin(), sets.end());
    toggle(now, set, add);
    return now;
  }
  static void toggle(std::vector<uint32_t>& sets, uint32_t set, bool add) {
    auto place = std::lower_bound(sets.begin(), sets.end(), set);
    bool there = place != sets.end() && *place == set;
    if (add && !there) sets.insert(place, set);
    if (!add && there) sets.erase(place);
  }
  // Appends a run; one that goes on with the class of the last is part of it.
  void put(std::vector<Run>& runs, Key first, ClassId id) {
    if (!runs.empty() && runs.back().id == id) return;
    runs.push_back({first, id});
    classes_.acquire(id);
  }
  // The same, where the last run may begin at this key already.
  void put_from(std::vector<Run>& runs, Key first, ClassId id) {
    if (runs.back().first == first) {
      classes_.release(runs.back().id);
      runs.pop_back();
    }
    put(runs, first, id);
  }
  void replace(size_t begin, size_t end, const std::vector<Run>& now) {
    size_t same = std::min(end - begin, now.size()), size = runs_.size() - (end - begin) + now.size();
    if (size > runs_.capacity()) runs_.reserve(size + size / 16);  // not twice as many, as insert would
    std::copy_n(now.begin(), same, runs_.begin() + static_cast<std::ptrdiff_t>(begin));
    auto rest = runs_.begin() + static_cast<std::ptrdiff_t>(begin + same);
    if (same < now.size())
      runs_.insert(rest, now.begin() + static_cast<std::ptrdiff_t>(same), now.end());
    else
      runs_.erase(rest, runs_.begin() + static_cast<std::ptrdiff_t>(end));
  }

  Classes& classes_;
  std::vector<Run> runs_;
};

}  // namespace headgate
