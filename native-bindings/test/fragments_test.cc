// What the fragment table remembers, of whom, for how long, and how much of it.
#include "tables/fragments.h"

#include <doctest/doctest.h>

#include "test/frames.h"

namespace headgate::test {
namespace {

Headers fragment(uint32_t id, bool first) {
  Headers h;
  h.source = address_of("10.9.0.1"), h.destination = address_of("10.9.0.2");
  h.protocol = kUdp;
  h.fragment = true, h.first_fragment = first;
  h.fragment_id = id;
  if (first) h.source_port = 1000, h.destination_port = static_cast<uint16_t>(id), h.icmp_type = 8, h.icmp_code = 3;
  return h;
}

TEST_CASE("later fragments get the ports of their first") {
  FragmentTable table;
  REQUIRE(table.remember(fragment(7, true), 1, 1000));
  Headers later = fragment(7, false);
  REQUIRE(table.resolve(later, 1, 1000));
  CHECK(later.source_port == 1000);
  CHECK(later.destination_port == 7);
  CHECK(later.icmp_type == 8);
  CHECK(later.icmp_code == 3);
  CHECK_FALSE(later.first_fragment);
}

TEST_CASE("another id, tracker, protocol, source or destination is another packet") {
  FragmentTable table;
  REQUIRE(table.remember(fragment(7, true), 1, 1000));
  Headers other = fragment(8, false);
  CHECK_FALSE(table.resolve(other, 1, 1000));
  other = fragment(7, false);
  CHECK_FALSE(table.resolve(other, 2, 1000));
  other.protocol = kTcp;
  CHECK_FALSE(table.resolve(other, 1, 1000));
  other = fragment(7, false);
  other.source = address_of("10.9.0.3");
  CHECK_FALSE(table.resolve(other, 1, 1000));
  other = fragment(7, false);
  other.destination = address_of("10.9.0.3");
  CHECK_FALSE(table.resolve(other, 1, 1000));
  std::swap(other.source, other.destination);
  CHECK_FALSE(table.resolve(other, 1, 1000));
}

TEST_CASE("a first fragment is forgotten after half a minute, and a new one takes its place") {
  FragmentTable table;
  REQUIRE(table.remember(fragment(7, true), 1, 1000));
  Headers later = fragment(7, false);
  CHECK(table.resolve(later, 1, 30'999));
  CHECK_FALSE(table.resolve(later, 1, 31'000));
  Headers again = fragment(7, true);
  again.destination_port = 99;
  REQUIRE(table.remember(again, 1, 40'000));
  REQUIRE(table.remember(again, 1, 40'000));  // a duplicate takes no more room
  REQUIRE(table.resolve(later, 1, 40'001));
  CHECK(later.destination_port == 99);
}

TEST_CASE("a full table remembers no more, keeps what it has, and has room again when that is old") {
  FragmentTable table;
  std::vector<uint32_t> kept;
  uint32_t refused = 0;
  for (uint32_t id = 1; id <= 8000; ++id) {
    if (table.remember(fragment(id, true), 1, 1000))
      kept.push_back(id);
    else
      ++refused;
  }
  CHECK(kept.size() <= 4096);
  CHECK(kept.size() > 3500);
  CHECK(refused + kept.size() == 8000);
  for (uint32_t id : kept) {
    Headers later = fragment(id, false);
    REQUIRE(table.resolve(later, 1, 1000));
    REQUIRE(later.destination_port == static_cast<uint16_t>(id));
  }
  uint32_t again = 0;
  for (uint32_t id = 10'001; id <= 11'000; ++id) again += table.remember(fragment(id, true), 1, 31'000);
  CHECK(again > 950);
}

}  // namespace
}  // namespace headgate::test
