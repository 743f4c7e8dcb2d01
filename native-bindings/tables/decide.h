// The walk through a workload's index table: which entry decides over a flow, and which ones it meets on the way.
#pragma once

#include "tables/index_entry.h"

namespace headgate {

// The entry that decides; null: the default action. `visit(entry)` sees every entry that matches, in order: those that
// only observe, and those that pass the flow on to the next category, before the one that decides. `first_match(from)`
// asks the lookup.
template <class FirstMatch, class Visit>
const IndexEntry* deciding_entry(FirstMatch first_match, Visit visit) {
  uint64_t from = 0;
  while (const IndexEntry* entry = first_match(from)) {
    if (entry->order >= kFirstInsertion) return nullptr;
    visit(*entry);
    if (entry->rule->observe)
      from = entry->order + 1;
    else if (entry->rule->action == Action::kPass)
      from = entry->next_category();
    else
      return entry;
  }
  return nullptr;
}

}  // namespace headgate
