// The lookup as a walk through the rules in order. Only the first frame of a flow pays for it.
#include "tables/index_table.h"

namespace headgate {

uint32_t first_match(const IndexTable& index, const FlowHeaders& flow, uint32_t from) {
  for (uint32_t i = from; i < index.rules.size(); ++i)
    if (matches(*index.rules[i], flow)) return i;
  return kNoMatch;
}

}  // namespace headgate
