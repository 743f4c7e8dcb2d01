// A workload's index table for one direction: the ordered references to the shared rules that apply to it, in the
// four categories (emergency, infrastructure, environment, application), and the lookup in it.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "tables/rule.h"

namespace headgate {

constexpr size_t kCategories = 4;

struct IndexTable {
  std::vector<std::shared_ptr<const Rule>> rules;       // in order
  std::array<uint32_t, kCategories> category_end = {};  // position behind each category's last rule

  // Where the category behind the one that holds `position` begins: what `pass` goes on with.
  uint32_t next_category(uint32_t position) const {
    for (uint32_t end : category_end)
      if (position < end) return end;
    return static_cast<uint32_t>(rules.size());
  }
};

constexpr uint32_t kNoMatch = UINT32_MAX;

// Position of the first rule at or behind `from` that matches, or kNoMatch. This is the whole interface of the
// lookup; what stands behind it may change, and the naive walk in test/oracle.h stays its judge.
uint32_t first_match(const IndexTable& index, const FlowHeaders& flow, uint32_t from);

}  // namespace headgate
