// Address -> class, for IPv4 and IPv6, as packet threads read it: a trie for IPv4; for IPv6 a search among the upper
// halves that occur and then among the lower halves within one. Both families share their classes.
//
// What an address is in may change while rules that name its sets are live, so readers keep what they have until they
// take over the next: nothing here is edited in place.
#pragma once

#include <memory>
#include <unordered_map>

#include "tables/address_family.h"
#include "tables/address_set.h"
#include "tables/class_trie.h"

namespace headgate {

// The runs of IPv6: `high` holds the upper halves at which something begins, in order; the lower halves of high[i] are
// those in [begin[i], begin[i + 1]). Numbers in host order.
struct Ipv6Runs {
  std::vector<uint64_t> high;
  std::vector<uint32_t> begin;
  std::vector<uint64_t> low;
  std::vector<ClassId> ids;

  ClassId find(uint64_t upper, uint64_t lower) const {
    size_t h = last_not_above(high.data(), high.size(), upper);
    if (high[h] != upper) return ids[begin[h + 1] - 1];  // the last run that begins below
    size_t first = begin[h];
    // The first lower half of each upper half is 0: there is always one that is not above.
    return ids[first + last_not_above(low.data() + first, begin[h + 1] - first, lower)];
  }

  // Place of the last of n sorted numbers that is not above `wanted`; the first must not be. Without branches.
  static size_t last_not_above(const uint64_t* numbers, size_t n, uint64_t wanted) {
    const uint64_t* at = numbers;
    while (n > 1) {
      size_t half = n / 2;
      at = at[half] <= wanted ? at + half : at;
      n -= half;
    }
    return static_cast<size_t>(at - numbers);
  }
};

class AddressClasses {
 public:
  using SetId = uint32_t;
  explicit AddressClasses(Arena& arena) : trie_(arena) { trie_.update(ipv4_.map(), {0, UINT32_MAX}); }

  // Makes the set or changes it; an empty one goes.
  void set(SetId id, const AddressSet& now);
  // Carries out what was set. Then classes() knows which were made and which have gone.
  void commit();
  Classes& classes() { return classes_; }

  uint32_t ipv4_root() const { return trie_.root(); }
  const std::shared_ptr<const Ipv6Runs>& ipv6() const { return ipv6_runs_; }
  size_t memory() const;

 private:
  void make_ipv6_runs();

  Classes classes_;
  AddressFamily<uint32_t> ipv4_{classes_};
  AddressFamily<unsigned __int128> ipv6_{classes_};
  ClassTrie trie_;
  std::shared_ptr<const Ipv6Runs> ipv6_runs_;
  std::unordered_map<SetId, AddressSet> pending_;
};

}  // namespace headgate
