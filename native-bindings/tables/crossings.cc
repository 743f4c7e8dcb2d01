#include "tables/crossings.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace headgate {

Crossings::Crossings(uint32_t connections) : connections_(connections) {
  void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  kept_ = static_cast<Kept*>(memory);
}

Crossings::~Crossings() {
  munmap(kept_, bytes());
}

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
