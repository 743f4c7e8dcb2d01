#include "tables/address_classes.h"

namespace headgate {
namespace {

// More changed ranges than this, and than an eighth of the runs: everything is swept anew.
constexpr size_t kFewChanges = 64;

using Ranges = std::vector<AddressRange>;

Address before(Address a) {
  for (int i = 15; i >= 0 && a.bytes[i]-- == 0; --i) {
  }
  return a;
}
Address after(Address a) {
  for (int i = 15; i >= 0 && ++a.bytes[i] == 0; --i) {
  }
  return a;
}

// What is in `a` and not in `b`; both sorted and disjoint.
Ranges without(const Ranges& a, const Ranges& b) {
  Ranges left;
  size_t j = 0;
  for (AddressRange r : a) {
    while (j < b.size() && b[j].last < r.first) ++j;
    bool gone = false;
    for (size_t k = j; k < b.size() && b[k].first <= r.last; ++k) {
      if (r.first < b[k].first) left.push_back({r.first, before(b[k].first)});
      if (r.last <= b[k].last) {
        gone = true;
        break;
      }
      r.first = after(b[k].last);
    }
    if (!gone) left.push_back(r);
  }
  return left;
}

uint32_t ipv4_number(const Address& a) {
  return static_cast<uint32_t>(a.number());
}

}  // namespace

void AddressClasses::set(SetId id, const AddressSet& now) {
  pending_.insert_or_assign(id, now);
}

void AddressClasses::commit() {
  std::vector<Change<uint32_t>> ipv4;
  std::vector<Change<Wide>> ipv6;
  auto note = [&](const Ranges& ranges, SetId set, bool add) {
    for (const AddressRange& r : ranges) {
      if (is_ipv4(r.first))
        ipv4.push_back({{ipv4_number(r.first), ipv4_number(r.last)}, set, add});
      else
        ipv6.push_back({{r.first.number(), r.last.number()}, set, add});
    }
  };
  for (auto& [id, now] : pending_) {
    AddressSet& was = sets_[id];
    note(without(was.ranges(), now.ranges()), id, false);
    note(without(now.ranges(), was.ranges()), id, true);
    if (now.empty())
      sets_.erase(id);
    else
      was = std::move(now);
  }
  pending_.clear();
  if (ipv4.empty() && ipv6.empty() && ipv6_runs_) return;
  if (ipv4.size() + ipv6.size() > kFewChanges + (ipv4_.runs().size() + ipv6_.runs().size()) / 8) {
    std::vector<ClassMap<uint32_t>::Part> parts4;
    std::vector<ClassMap<Wide>::Part> parts6;
    for (const auto& [id, set] : sets_)
      for (const AddressRange& r : set.ranges()) {
        if (is_ipv4(r.first))
          parts4.push_back({{ipv4_number(r.first), ipv4_number(r.last)}, id});
        else
          parts6.push_back({{r.first.number(), r.last.number()}, id});
      }
    ipv4_.rebuild(parts4);
    ipv6_.rebuild(parts6);
    trie_.update(ipv4_, {0, UINT32_MAX});
    make_ipv6_runs();
    return;
  }
  for (const auto& c : ipv4) ipv4_.change(c.range, c.set, c.add);
  for (const auto& c : ipv4) trie_.update(ipv4_, c.range);
  for (const auto& c : ipv6) ipv6_.change(c.range, c.set, c.add);
  if (!ipv6.empty() || !ipv6_runs_) make_ipv6_runs();
}

void AddressClasses::make_ipv6_runs() {
  auto next = std::make_shared<Ipv6Runs>();
  ClassId last = kEmptyClass;
  for (const auto& run : ipv6_.runs()) {
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
  for (const auto& [id, set] : sets_) bytes += 48 + set.ranges().size() * 2 * sizeof(AddressRange);
  return bytes;
}

}  // namespace headgate
