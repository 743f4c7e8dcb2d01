#include "tables/address_classes.h"

namespace headgate {
namespace {

// More changed ranges than this, and than an eighth of the runs: everything is swept anew.
constexpr size_t kFewChanges = 64;

}  // namespace

void AddressClasses::set(SetId id, const AddressSet& now) {
  pending_.insert_or_assign(id, now);
}

void AddressClasses::commit() {
  for (const auto& [id, now] : std::exchange(pending_, {})) {
    std::vector<KeyRange<uint32_t>> ipv4;
    std::vector<KeyRange<unsigned __int128>> ipv6;
    for (const AddressRange& r : now.ranges()) {
      if (is_ipv4(r.first))
        ipv4.push_back({ipv4_number(r.first), ipv4_number(r.last)});
      else
        ipv6.push_back({r.first.number(), r.last.number()});
    }
    ipv4_.set(id, ipv4);
    ipv6_.set(id, ipv6);
  }
  const size_t changes = ipv4_.changes() + ipv6_.changes();
  if (changes == 0 && ipv6_runs_) return;
  if (changes > kFewChanges + (ipv4_.map().runs().size() + ipv6_.map().runs().size()) / 8) {
    ipv4_.rebuild();
    ipv6_.rebuild();
    trie_.update(ipv4_.map(), {0, UINT32_MAX});
    make_ipv6_runs();
    return;
  }
  for (const auto& change : ipv4_.take_in()) trie_.update(ipv4_.map(), change.range);
  if (!ipv6_.take_in().empty() || !ipv6_runs_) make_ipv6_runs();
}

void AddressClasses::make_ipv6_runs() {
  auto next = std::make_shared<Ipv6Runs>();
  ClassId last = kEmptyClass;
  for (const auto& run : ipv6_.map().runs()) {
    uint64_t high = static_cast<uint64_t>(run.first >> 64), low = static_cast<uint64_t>(run.first);
    if (next->high.empty() || next->high.back() != high) {
      next->high.push_back(high);
      next->begin.push_back(static_cast<uint32_t>(next->low.size()));
      if (low != 0) {
        next->low.push_back(0);
        next->ids.push_back(last);
      }
    }
    next->low.push_back(low);
    next->ids.push_back(run.id);
    last = run.id;
  }
  next->begin.push_back(static_cast<uint32_t>(next->low.size()));
  ipv6_runs_ = std::move(next);
}

size_t AddressClasses::memory() const {
  size_t bytes = classes_.memory() + ipv4_.memory() + ipv6_.memory();
  if (ipv6_runs_)
    bytes += ipv6_runs_->high.capacity() * 12 + ipv6_runs_->low.capacity() * 8 + ipv6_runs_->ids.capacity() * 4;
  return bytes;
}

}  // namespace headgate
