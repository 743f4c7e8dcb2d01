#include "tables/crossings.h"

namespace headgate {

Verdict Crossings::exchange(const ConnectionTable& table, const Connection& c, int side) {
  const Verdict before = kept(table, c, side);
  kept_[size_t{table.place_of(c)} * 2 + static_cast<size_t>(side)] = {mark_of(c), c.verdict[side]};
  return before;
}

Verdict Crossings::kept(const ConnectionTable& table, const Connection& c, int side) const {
  const Kept& kept = kept_[size_t{table.place_of(c)} * 2 + static_cast<size_t>(side)];
  return kept.of == mark_of(c) ? kept.verdict : Verdict{};
}

}  // namespace headgate
