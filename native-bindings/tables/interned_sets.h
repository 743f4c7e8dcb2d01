// Collections of sets, as sorted numbers, each kept once and named by a small number: two that hold the same have the
// same name. For the builder's books, of which there are very many: 20 bytes each beside the numbers themselves.
#pragma once

#include <span>
#include <utility>

#include "tables/arena.h"

namespace headgate {

// Uses are counted. What nobody uses any more keeps its name and contents until settle().
class InternedSets {
 public:
  using Id = uint32_t;
  static constexpr Id kEmpty = 0;  // without any set; always there
  static constexpr Id kNone = UINT32_MAX;

  InternedSets();

  // The collection of exactly these sets, which are sorted; made where it is missing. Counts one use. `from`: one in
  // use that differs from it in one set only.
  Id acquire(std::span<const uint32_t> sets, Id from = kNone);
  void acquire(Id id) { ++entries_[id].uses; }
  void release(Id id) {
    if (--entries_[id].uses == 0) unused_.push_back(id);
  }

  std::span<const uint32_t> sets(Id id) const {
    return {contents_.at<uint32_t>(entries_[id].contents), entries_[id].count};
  }
  bool in_use(Id id) const { return entries_[id].uses > 0; }
  size_t size() const { return entries_.size(); }  // ids are below this

  struct Made {
    Id id, from;
  };
  // Made since the last call. Some may have gone again: take_gone() names those too.
  std::vector<Made> take_made() { return std::exchange(made_, {}); }
  // Gone since the last call.
  std::vector<Id> take_gone();
  void settle();
  size_t memory() const { return entries_.memory() + contents_.memory() + buckets_.capacity() * sizeof(Id); }

 private:
  struct Entry {
    uint32_t contents;  // in the arena
    uint32_t count;
    uint32_t uses;
    Id next;  // of those with the same bucket
  };

  Id& bucket_of(std::span<const uint32_t> sets);
  void link(Id id);
  bool unlink(Id id);
  void grow();

  Arena contents_{size_t{1} << 32};
  Reserved<Entry> entries_{1 << 24};
  std::vector<Id> buckets_;  // the first of each; a power of two of them
  std::vector<Made> made_;
  std::vector<Id> free_, unused_, leaving_;
};

}  // namespace headgate
