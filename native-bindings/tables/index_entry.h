// An index entry: a reference to a shared rule at a place in the order. A workload's index table is all the entries
// whose scope holds it, judged in order; the lookup keeps it as bitmaps (tables/classifier.h).
#pragma once

#include <memory>

#include "tables/rule.h"

namespace headgate {

constexpr unsigned kCategories = 4;  // emergency, infrastructure, environment, application
constexpr unsigned kCategoryShift = 50;
// Behind all categories: entries that choose the service tag of a flow, which the firewall never meets.
constexpr unsigned kInsertions = kCategories;
constexpr uint64_t kFirstInsertion = uint64_t{kInsertions} << kCategoryShift;

// Immutable once it is in the classifier.
struct IndexEntry {
  std::string id;
  uint32_t serial = 0;  // never used twice while the engine lives, and kept by an edit: hit counters are kept by it
  std::shared_ptr<const Rule> rule;
  uint64_t order = 0;  // category << kCategoryShift | order within it; lower is judged first, no two are the same
  bool in = false;
  bool out = false;
  uint8_t profile = 0;  // how connections are followed that it decides over (tables/timeouts.h)
  uint16_t tag = 0;     // of an insertion: place of the service tag

  // First order of the category behind this entry's: what `pass` goes on with.
  uint64_t next_category() const { return ((order >> kCategoryShift) + 1) << kCategoryShift; }
};

}  // namespace headgate
