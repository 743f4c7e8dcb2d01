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
#include <unordered_set>
#include <utility>
#include <vector>

namespace headgate {

using ClassId = uint32_t;
constexpr ClassId kEmptyClass = 0;  // keys that no set holds

// The classes in use. Ids of classes that went are reused only after settle().
class Classes {
 public:
  Classes() : index_(16, Hash{this}, Equal{this}) {
    entries_.push_back({{}, 1});
    index_.insert(kEmptyClass);
  }
  Classes(const Classes&) = delete;

  // The class of exactly these sets, which are sorted; made where it is missing. Counts one use.
  ClassId acquire(const std::vector<uint32_t>& sets) {
    probe_ = &sets;
    auto known = index_.find(kProbe);
    probe_ = nullptr;
    if (known != index_.end()) {
      ++entries_[*known].uses;
      return *known;
    }
    ClassId id = static_cast<ClassId>(entries_.size());
    if (free_.empty()) {
      entries_.push_back({sets, 1});
    } else {
      id = free_.back();
      free_.pop_back();
      entries_[id] = {sets, 1};
    }
    index_.insert(id);
    made_.push_back(id);
    return id;
  }
  void acquire(ClassId id) { ++entries_[id].uses; }
  void release(ClassId id) {
    if (--entries_[id].uses == 0) unused_.push_back(id);
  }

  const std::vector<uint32_t>& sets(ClassId id) const { return entries_[id].sets; }
  bool in_use(ClassId id) const { return entries_[id].uses > 0; }
  size_t size() const { return entries_.size(); }  // ids are below this

  // Classes made since the last call. Some may have gone again: take_gone() names those too.
  std::vector<ClassId> take_made() { return std::exchange(made_, {}); }
  // Classes that went since the last call.
  std::vector<ClassId> take_gone() {
    std::vector<ClassId> gone;
    for (ClassId id : unused_) {
      if (entries_[id].uses || !index_.erase(id)) continue;
      gone.push_back(id);
      leaving_.push_back(id);
    }
    unused_.clear();
    return gone;
  }
  void settle() {
    for (ClassId id : leaving_) {
      entries_[id].sets = {};
      free_.push_back(id);
    }
    leaving_.clear();
  }
  size_t memory() const {
    size_t bytes = entries_.capacity() * sizeof(Entry) + index_.size() * 24 + index_.bucket_count() * 8;
    for (const Entry& e : entries_) bytes += e.sets.capacity() * 4;
    return bytes;
  }

 private:
  struct Entry {
    std::vector<uint32_t> sets;
    uint32_t uses;
  };
  static constexpr ClassId kProbe = UINT32_MAX;  // stands for the sets in probe_
  const std::vector<uint32_t>& seen(ClassId id) const { return id == kProbe ? *probe_ : entries_[id].sets; }
  struct Hash {
    const Classes* classes;
    size_t operator()(ClassId id) const {
      uint64_t hash = 0x9e3779b97f4a7c15ull;
      for (uint32_t set : classes->seen(id)) {
        hash = (hash ^ set) * 0xd6e8feb86659fd93ull;
        hash ^= hash >> 32;
      }
      return hash;
    }
  };
  struct Equal {
    const Classes* classes;
    bool operator()(ClassId a, ClassId b) const { return classes->seen(a) == classes->seen(b); }
  };

  std::vector<Entry> entries_;
  const std::vector<uint32_t>* probe_ = nullptr;
  std::unordered_set<ClassId, Hash, Equal> index_;
  std::vector<ClassId> free_, made_, unused_, leaving_;
};

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
        to = classes_.acquire(with(classes_.sets(from), set, add));
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
  static std::vector<uint32_t> with(std::vector<uint32_t> sets, uint32_t set, bool add) {
    toggle(sets, set, add);
    return sets;
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
    size_t same = std::min(end - begin, now.size());
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
