// A set of IPv4 and IPv6 addresses: what a group or a selection of a rule resolves to, and what a workload may use.
// Kept as sorted, disjoint ranges; membership is a binary search.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "packet/headers.h"

namespace headgate {

struct AddressRange {
  Address first;
  Address last;  // inclusive
  bool operator==(const AddressRange&) const = default;
};

class AddressSet {
 public:
  AddressSet() = default;
  // Overlapping and touching ranges are merged.
  explicit AddressSet(std::vector<AddressRange> ranges);

  bool contains(const Address& address) const {
    if (address.half(0) == near_.upper && __builtin_bswap64(address.half(1)) - near_.first < near_.count) return true;
    return search(address.number());
  }
  bool empty() const { return ranges_.empty(); }
  // Without the addresses of `remove`, and then with those of `add`. Costs a walk through both, no sorting of this set.
  AddressSet edited(const AddressSet& add, const AddressSet& remove) const;
  const std::vector<AddressRange>& ranges() const { return ranges_; }

 private:
  struct Bounds {
    unsigned __int128 first;
    unsigned __int128 last;
  };
  // The first range, if its addresses have the same upper half, as all of IPv4 have: most sets are that one range.
  struct Near {
    uint64_t upper = 0;
    uint64_t first = 0;
    uint64_t count = 0;
  };
  bool search(unsigned __int128 wanted) const;
  void take_sorted(const std::vector<AddressRange>& ranges);
  std::vector<AddressRange> ranges_;
  std::vector<Bounds> bounds_;  // the same as numbers
  Near near_;
};

// `10.0.0.0/8`, `10.0.0.7`, `10.0.0.1-10.0.0.9` and the IPv6 forms; nothing if it is none of these, if the ends of
// a range are of different families or in the wrong order, or if a prefix has bits set behind its length.
std::optional<AddressRange> parse_address_range(std::string_view text);

// Of texts that are each one of these.
AddressSet parse_address_set(const std::vector<std::string>& texts);

std::optional<Address> parse_address(std::string_view text);

std::string format_address(const Address& address);

// Whether it stands behind ::ffff:0:0/96.
inline bool is_ipv4(const Address& address) {
  return address.half(0) == 0 && static_cast<uint32_t>(address.half(1)) == 0xffff0000u;
}
// In host byte order.
inline uint32_t ipv4_number(const Address& address) {
  return __builtin_bswap32(static_cast<uint32_t>(address.half(1) >> 32));
}

}  // namespace headgate
