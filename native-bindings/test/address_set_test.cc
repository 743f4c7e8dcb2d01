// Addresses as text, and sets of them against a walk through their ranges.
#include "tables/address_set.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "test/frames.h"

namespace headgate::test {
namespace {

AddressSet set_of(const std::vector<std::string>& texts) {
  std::vector<AddressRange> ranges;
  for (const std::string& text : texts) {
    REQUIRE_MESSAGE(parse_address_range(text), text);
    ranges.push_back(*parse_address_range(text));
  }
  return AddressSet(ranges);
}

TEST_CASE("addresses, prefixes and ranges are read") {
  const auto is = [](const char* text, const char* first, const char* last) {
    const auto range = parse_address_range(text);
    REQUIRE_MESSAGE(range, text);
    CHECK(format_address(range->first) == first);
    CHECK(format_address(range->last) == last);
  };
  is("10.0.0.7", "10.0.0.7", "10.0.0.7");
  is("10.0.0.0/8", "10.0.0.0", "10.255.255.255");
  is("0.0.0.0/0", "0.0.0.0", "255.255.255.255");
  is("10.0.0.4/31", "10.0.0.4", "10.0.0.5");
  is("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9");
  is("fd00::/16", "fd00::", "fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  is("fd00::1-fd00::ff", "fd00::1", "fd00::ff");
  is("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST_CASE("anything else is refused") {
  for (const char* text : {"",
                           "x",
                           "10.0.0",
                           "10.0.0.256",
                           "10.0.0.1/8",
                           "10.0.0.0/33",
                           "10.0.0.0/",
                           "10.0.0.0/-1",
                           "10.0.0.0/8x",
                           "10.0.0.9-10.0.0.1",
                           "10.0.0.1-fd00::1",
                           "10.0.0.1-",
                           "-10.0.0.1",
                           "fd00::1/64",
                           "fd00::/129",
                           "::ffff:10.0.0.1",
                           "fd00::g",
                           "10.0.0.1-10.0.0.2-10.0.0.3",
                           " 10.0.0.1",
                           "1111111111111111111111111111111111111111111111111111111111111111111"})
    CHECK_MESSAGE(!parse_address_range(text), text);
}

TEST_CASE("a set contains the ends of its ranges and nothing beside them") {
  const AddressSet set = set_of({"10.0.0.4-10.0.0.8", "10.0.0.10", "fd00::10-fd00::1f"});
  for (const char* in : {"10.0.0.4", "10.0.0.8", "10.0.0.10", "fd00::10", "fd00::1f"})
    CHECK(set.contains(address_of(in)));
  for (const char* out : {"10.0.0.3", "10.0.0.9", "10.0.0.11", "fd00::f", "fd00::20", "0.0.0.0", "::"})
    CHECK_FALSE(set.contains(address_of(out)));
  CHECK_FALSE(AddressSet().contains(address_of("10.0.0.1")));
}

TEST_CASE("overlapping and touching ranges become one") {
  CHECK(set_of({"10.0.0.0/25", "10.0.0.128/25"}).ranges().size() == 1);
  CHECK(set_of({"10.0.0.5-10.0.0.9", "10.0.0.0/29"}).ranges().size() == 1);
  CHECK(set_of({"10.0.0.0/8", "10.1.0.0/16"}).ranges().size() == 1);
  CHECK(set_of({"10.0.0.1", "10.0.0.3"}).ranges().size() == 2);
}

// IPv4 lives inside IPv6's number space here (RFC 4291, 2.5.5.2), but ::/0 does not mean it.
TEST_CASE("an IPv6 range never speaks for IPv4") {
  for (const char* text : {"::/0", "::/1", "::/64", "::/80", "::8000:0:0/81", "::1-ffff::"}) {
    const AddressSet set = set_of({text});
    for (const char* v4 : {"0.0.0.0", "10.0.0.1", "255.255.255.255"}) CHECK_FALSE(set.contains(address_of(v4)));
    for (const AddressRange& range : set.ranges()) CHECK(range.first <= range.last);
  }
  const AddressSet all = set_of({"::/0"});
  for (const char* v6 : {"::", "::1", "::fffe:ffff:ffff", "::1:0:0:0", "fd00::1"}) CHECK(all.contains(address_of(v6)));
  const AddressSet both = set_of({"::/0", "0.0.0.0/0"});
  CHECK(both.contains(address_of("10.0.0.1")));
  CHECK(both.contains(address_of("fd00::1")));
}

// Few addresses, and often next to each other.
Address some_address(std::mt19937& random) {
  Address a;
  if (random() % 2) a.bytes[10] = a.bytes[11] = 0xff;
  a.bytes[random() % 4 ? 15 : 8] = static_cast<uint8_t>(random() % 12);
  return a;
}

std::vector<AddressRange> some_ranges(std::mt19937& random) {
  std::vector<AddressRange> ranges;
  for (size_t n = random() % 6; n; --n) {
    Address a = some_address(random), b = some_address(random);
    if (is_ipv4(a) == is_ipv4(b)) ranges.push_back({std::min(a, b), std::max(a, b)});
  }
  return ranges;
}

bool in_one(const std::vector<AddressRange>& ranges, const Address& a) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const AddressRange& r) {
    return is_ipv4(r.first) == is_ipv4(a) && r.first <= a && a <= r.last;
  });
}

TEST_CASE("property: a set contains what one of its ranges does") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: a set contains what one of its ranges does"));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<AddressRange> ranges = some_ranges(random);
    const AddressSet set(ranges);
    for (int i = 0; i < 20; ++i) {
      const Address a = some_address(random);
      REQUIRE_MESSAGE(set.contains(a) == in_one(ranges, a), format_address(a));
    }
  }
}

TEST_CASE("property: an edited set is the set that has what was left and what was added") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: an edited set is the set that has what was left and what was added"));
  std::mt19937 random(seed);
  for (int round = 0; round < 5000; ++round) {
    const auto was = some_ranges(random), add = some_ranges(random), remove = some_ranges(random);
    const AddressSet set = AddressSet(was).edited(AddressSet(add), AddressSet(remove));
    for (int i = 0; i < 20; ++i) {
      const Address a = some_address(random);
      const bool wanted = (in_one(was, a) && !in_one(remove, a)) || in_one(add, a);
      REQUIRE_MESSAGE(set.contains(a) == wanted, format_address(a));
    }
    CHECK(AddressSet(set.ranges()).ranges() == set.ranges());  // sorted, apart, merged
  }
}

TEST_CASE("what is taken out of all addresses leaves the rest, at both ends too") {
  const AddressSet all = set_of({"0.0.0.0/0", "::/0"});
  CHECK(all.edited({}, all).empty());
  const AddressSet ends = all.edited({}, set_of({"0.0.0.0", "255.255.255.255", "::", "ffff::/16"}));
  for (const char* out : {"0.0.0.0", "255.255.255.255", "::", "ffff::1"}) CHECK_FALSE(ends.contains(address_of(out)));
  for (const char* in : {"0.0.0.1", "255.255.255.254", "::1", "fffe:ffff::"}) CHECK(ends.contains(address_of(in)));
  CHECK(all.edited(all, all).ranges() == all.ranges());
}

}  // namespace
}  // namespace headgate::test
