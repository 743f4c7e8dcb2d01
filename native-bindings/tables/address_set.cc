#include "tables/address_set.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace headgate {
namespace {

// The address after `a`; all ones wraps to zero.
Address next(Address a) {
  for (int i = 15; i >= 0; --i)
    if (++a.bytes[i] != 0) break;
  return a;
}

constexpr Address kAllZero{};

std::optional<AddressRange> prefix_range(const Address& base, unsigned length) {
  AddressRange range{base, base};
  for (unsigned bit = length; bit < 128; ++bit) {
    uint8_t mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if (base.bytes[bit / 8] & mask) return std::nullopt;
    range.last.bytes[bit / 8] |= mask;
  }
  return range;
}

// The address before `a`; zero wraps to all ones.
Address previous(Address a) {
  for (int i = 15; i >= 0; --i)
    if (a.bytes[i]-- != 0) break;
  return a;
}

bool begins_before(const AddressRange& a, const AddressRange& b) {
  return a.first < b.first;
}

// What is left of `ranges` without `remove`; both are sorted and disjoint, and so is the result.
std::vector<AddressRange> difference(const std::vector<AddressRange>& ranges, const std::vector<AddressRange>& remove) {
  std::vector<AddressRange> left;
  left.reserve(ranges.size() + remove.size());
  auto hole = remove.begin();
  for (AddressRange range : ranges) {
    while (hole != remove.end() && hole->last < range.first) ++hole;
    bool rest = true;
    for (auto cut = hole; rest && cut != remove.end() && !(range.last < cut->first); ++cut) {
      if (range.first < cut->first) left.push_back({range.first, previous(cut->first)});
      rest = cut->last < range.last;
      if (rest) range.first = next(cut->last);
    }
    if (rest) left.push_back(range);
  }
  return left;
}

// An IPv6 range around ::ffff:0:0/96, such as ::/0, must not speak for IPv4, which lives there: it becomes two.
void leave_out_ipv4(std::vector<AddressRange>& ranges) {
  const AddressRange ipv4 = *parse_address_range("0.0.0.0/0");
  for (size_t i = 0, n = ranges.size(); i < n; ++i) {
    if (is_ipv4(ranges[i].first) || ranges[i].last < ipv4.first || ipv4.last < ranges[i].first) continue;
    if (ipv4.last < ranges[i].last) ranges.push_back({next(ipv4.last), ranges[i].last});
    ranges[i].last = previous(ipv4.first);
  }
}

}  // namespace

AddressSet::AddressSet(std::vector<AddressRange> ranges) {
  leave_out_ipv4(ranges);
  std::sort(ranges.begin(), ranges.end(), begins_before);
  take_sorted(ranges);
}

AddressSet AddressSet::edited(const AddressSet& add, const AddressSet& remove) const {
  const std::vector<AddressRange> left = difference(ranges_, remove.ranges_);
  std::vector<AddressRange> both(left.size() + add.ranges_.size());
  std::merge(left.begin(), left.end(), add.ranges_.begin(), add.ranges_.end(), both.begin(), begins_before);
  AddressSet result;
  result.take_sorted(both);
  return result;
}

// Makes this empty set that of the ranges, which are sorted by their beginnings.
void AddressSet::take_sorted(const std::vector<AddressRange>& ranges) {
  for (const AddressRange& r : ranges) {
    bool touches = !ranges_.empty() &&
                   (r.first <= ranges_.back().last || (next(ranges_.back().last) == r.first && r.first != kAllZero &&
                                                       is_ipv4(r.first) == is_ipv4(ranges_.back().last)));
    if (touches)
      ranges_.back().last = std::max(ranges_.back().last, r.last);
    else
      ranges_.push_back(r);
  }
  bounds_.reserve(ranges_.size());
  for (const AddressRange& r : ranges_) bounds_.push_back({r.first.number(), r.last.number()});
  if (ranges_.empty() || ranges_[0].first.half(0) != ranges_[0].last.half(0)) return;
  uint64_t first = __builtin_bswap64(ranges_[0].first.half(1)), last = __builtin_bswap64(ranges_[0].last.half(1));
  if (last - first != UINT64_MAX) near_ = {ranges_[0].first.half(0), first, last - first + 1};
}

bool AddressSet::search(unsigned __int128 wanted) const {
  auto after = std::upper_bound(bounds_.begin(), bounds_.end(), wanted,
                                [](unsigned __int128 a, const Bounds& b) { return a < b.first; });
  return after != bounds_.begin() && wanted <= std::prev(after)->last;
}

std::optional<Address> parse_address(std::string_view text) {
  char copy[64];
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  Address address;
  if (inet_pton(AF_INET, copy, address.bytes.data() + 12) == 1) {
    address.bytes[10] = address.bytes[11] = 0xff;
    return address;
  }
  if (inet_pton(AF_INET6, copy, address.bytes.data()) == 1 && !is_ipv4(address)) return address;
  return std::nullopt;
}

std::optional<AddressRange> parse_address_range(std::string_view text) {
  if (size_t dash = text.find('-'); dash != text.npos) {
    auto first = parse_address(text.substr(0, dash)), last = parse_address(text.substr(dash + 1));
    if (!first || !last || is_ipv4(*first) != is_ipv4(*last) || *last < *first) return std::nullopt;
    return AddressRange{*first, *last};
  }
  size_t slash = text.find('/');
  auto base = parse_address(text.substr(0, slash));
  if (!base) return std::nullopt;
  if (slash == text.npos) return AddressRange{*base, *base};
  std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  unsigned most = is_ipv4(*base) ? 32 : 128;
  if (length > most) return std::nullopt;
  return prefix_range(*base, is_ipv4(*base) ? length + 96 : length);
}

AddressSet parse_address_set(const std::vector<std::string>& texts) {
  std::vector<AddressRange> ranges;
  ranges.reserve(texts.size());
  for (const std::string& text : texts) ranges.push_back(*parse_address_range(text));
  return AddressSet(std::move(ranges));
}

std::string format_address(const Address& address) {
  char text[INET6_ADDRSTRLEN];
  if (is_ipv4(address))
    inet_ntop(AF_INET, address.bytes.data() + 12, text, sizeof text);
  else
    inet_ntop(AF_INET6, address.bytes.data(), text, sizeof text);
  return text;
}

}  // namespace headgate
