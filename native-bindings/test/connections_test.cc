// The connection table: both directions, ageing, what may be recycled and what never.
#include "tables/connections.h"

#include <doctest/doctest.h>

#include "packet/hash.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr uint64_t kSecret = 0xfeedfacecafebeefull;

Headers headers(uint32_t client, uint8_t protocol = kUdp, bool back = false) {
  Headers h;
  h.layer3 = Layer3::kIpv4;
  h.protocol = protocol;
  h.source = address_of("10.9.0.1"), h.destination = address_of("10.9.0.2");
  h.source_port = static_cast<uint16_t>(client), h.destination_port = 53;
  h.source.bytes[13] = static_cast<uint8_t>(client >> 16);
  if (back) {
    std::swap(h.source, h.destination);
    std::swap(h.source_port, h.destination_port);
  }
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
  return h;
}

struct Table {
  std::vector<uint8_t> memory;
  ConnectionTable table;
  Timeouts timeouts;
  Profiles profiles;
  bool reply = false;
  explicit Table(uint32_t limit) : memory(ConnectionTable::bytes_for(limit)), table(memory.data(), limit) {
    table.set_secret(kSecret);
  }
  Connection* find(const Headers& h, uint32_t now, uint16_t tracker = 1) {
    return table.find(h, tracker, now, profiles, reply);
  }
  Connection* add(const Headers& h, uint32_t now, TimeoutClass timeout_class, uint16_t tracker = 1) {
    Connection* c = table.insert(h, tracker, now);
    if (c) table.touch(*c, timeout_class, now);
    return c;
  }
};

TEST_CASE("a record is found from both directions, and knows which is the reply") {
  for (bool back : {false, true}) {
    Table t(16);
    Connection* c = t.add(headers(1, kTcp, back), 1000, TimeoutClass::kTcpOpening);
    REQUIRE(c);
    CHECK(t.find(headers(1, kTcp, back), 1000) == c);
    CHECK_FALSE(t.reply);
    CHECK(t.find(headers(1, kTcp, !back), 1000) == c);
    CHECK(t.reply);
    CHECK(t.table.flow_of(*c).source == headers(1, kTcp, back).source);
    CHECK(c->destination_port == headers(1, kTcp, back).destination_port);
  }
}

TEST_CASE("equal addresses are told apart by their ports") {
  Table t(16);
  Headers h = headers(1);
  h.destination = h.source;  // through a router that two workloads share
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
  Connection* c = t.add(h, 0, TimeoutClass::kUdpOneWay);
  std::swap(h.source_port, h.destination_port);
  CHECK(t.find(h, 0) == c);
  CHECK(t.reply);
}

TEST_CASE("IPv6 addresses count whole, though their last bytes are those of an IPv4 flow") {
  Table t(16);
  const auto ipv6 = [](const char* source) {
    Headers h = headers(1);
    h.layer3 = Layer3::kIpv6;
    h.source = address_of(source), h.destination = address_of("fd00::a09:2");
    h.hash = headers(1).hash;  // in one chain
    return h;
  };
  const Headers near = ipv6("fd00::a00:1"), far = ipv6("fd01::a00:1");
  REQUIRE(tails_of(near.source, near.destination) == tails_of(headers(1).source, headers(1).destination));
  Connection* a = t.table.insert(near, 1, 0);
  CHECK_FALSE(t.find(far, 0));
  CHECK_FALSE(t.find(headers(1), 0));
  Connection* b = t.table.insert(far, 1, 0);
  CHECK(t.find(near, 0) == a);
  CHECK(t.find(far, 0) == b);
  CHECK(t.table.flow_of(*b).source == far.source);
  Headers back = far;
  std::swap(back.source, back.destination);
  std::swap(back.source_port, back.destination_port);
  CHECK(t.find(back, 0) == b);
  CHECK(t.reply);
}

TEST_CASE("another port, protocol, address or tracker is another flow") {
  Table t(16);
  t.add(headers(1), 0, TimeoutClass::kUdpOneWay);
  CHECK_FALSE(t.find(headers(2), 0));
  CHECK_FALSE(t.find(headers(1, kTcp), 0));
  CHECK_FALSE(t.find(headers(1 << 16 | 1), 0));
  CHECK_FALSE(t.find(headers(1), 0, 2));
  CHECK(t.find(headers(1), 0));
}

TEST_CASE("a look-up finds nothing that is past its time, and frees it") {
  Table t(16);
  t.add(headers(1), 1000, TimeoutClass::kUdpOneWay);
  CHECK(t.find(headers(1), 1000 + t.timeouts.udp_one_way - 1));
  CHECK(t.table.size() == 1);
  CHECK_FALSE(t.find(headers(1), 1000 + t.timeouts.udp_one_way));
  CHECK(t.table.size() == 0);
}

TEST_CASE("each class has its time") {
  const Timeouts t;
  const std::pair<TimeoutClass, uint32_t> wanted[] = {
      {TimeoutClass::kDenied, t.denied},          {TimeoutClass::kClosing, t.tcp_closing},
      {TimeoutClass::kTcpOpening, t.tcp_opening}, {TimeoutClass::kTcpEstablished, t.tcp_established},
      {TimeoutClass::kUdpOneWay, t.udp_one_way},  {TimeoutClass::kUdpTwoWay, t.udp_two_way},
      {TimeoutClass::kIcmpOneWay, t.icmp},        {TimeoutClass::kIcmpTwoWay, t.icmp},
      {TimeoutClass::kOtherOneWay, t.other},      {TimeoutClass::kOtherTwoWay, t.other}};
  for (auto [timeout_class, milliseconds] : wanted) CHECK(timeout_of(timeout_class, t) == milliseconds);
}

TEST_CASE("ageing frees the idle, keeps the used, and looks at a bounded number") {
  Table t(64);
  for (uint32_t i = 0; i < 40; ++i) t.add(headers(i), 0, TimeoutClass::kUdpOneWay);
  for (uint32_t i = 0; i < 10; ++i) t.table.touch(*t.find(headers(i), 20'000), TimeoutClass::kUdpOneWay, 20'000);
  t.table.expire(29'999, t.profiles, 64);
  CHECK(t.table.size() == 40);
  t.table.expire(31'000, t.profiles, 15);
  CHECK(t.table.size() == 35);  // ten were moved on, five freed
  t.table.expire(31'000, t.profiles, 64);
  CHECK(t.table.size() == 10);
  for (uint32_t i = 0; i < 10; ++i) CHECK(t.find(headers(i), 31'000));
  t.table.expire(61'000, t.profiles, 64);
  CHECK(t.table.size() == 0);
}

TEST_CASE("a full table takes denied, closing and opening records first, the oldest of each") {
  using C = TimeoutClass;
  Table t(12);
  uint32_t client = 0;
  std::vector<uint32_t> order;
  const std::vector<C> classes = {C::kOtherOneWay, C::kIcmpOneWay, C::kUdpOneWay,
                                  C::kTcpOpening,  C::kClosing,    C::kDenied};
  for (C c : classes)
    for (int i = 0; i < 2; ++i, ++client) t.add(headers(client), 100 + client, c);
  for (size_t c = classes.size(); c-- > 0;)
    for (uint32_t i = 0; i < 2; ++i) order.push_back(static_cast<uint32_t>(c) * 2 + i);
  for (uint32_t n = 0; n < 12; ++n) {
    REQUIRE(t.find(headers(order[n]), 200));
    REQUIRE(t.add(headers(100 + n), 200, C::kTcpEstablished));
    CHECK_FALSE(t.find(headers(order[n]), 200));
    CHECK(t.table.size() == 12);
  }
  CHECK_FALSE(t.add(headers(200), 300, C::kDenied));
}

TEST_CASE("established records are never taken: the new flow is refused") {
  using C = TimeoutClass;
  Table t(8);
  const C classes[] = {C::kTcpEstablished, C::kUdpTwoWay, C::kIcmpTwoWay, C::kOtherTwoWay};
  for (uint32_t i = 0; i < 8; ++i) t.add(headers(i), 0, classes[i % 4]);
  for (uint32_t i = 0; i < 100; ++i) CHECK_FALSE(t.add(headers(100 + i), 1000, C::kDenied));
  for (uint32_t i = 0; i < 8; ++i) CHECK(t.find(headers(i), 1000));
}

TEST_CASE("a record that this millisecond has used is never taken") {
  Table t(8);
  for (uint32_t i = 0; i < 8; ++i) t.add(headers(i), 500, TimeoutClass::kDenied);
  CHECK_FALSE(t.add(headers(100), 500, TimeoutClass::kDenied));
  CHECK(t.add(headers(100), 501, TimeoutClass::kDenied));
}

TEST_CASE("removing the first, the middle and the last of a chain leaves the others") {
  Table t(64);  // 128 buckets: chains of some length with more records than that are sure only for one bucket
  std::vector<Connection*> all;
  for (uint32_t i = 0; i < 64; ++i) all.push_back(t.add(headers(i), 0, TimeoutClass::kUdpTwoWay));
  for (uint32_t i = 0; i < 64; i += 3) t.table.remove(*all[i]);
  for (uint32_t i = 0; i < 64; ++i) CHECK((t.find(headers(i), 0) != nullptr) == (i % 3 != 0));
  for (uint32_t i = 0; i < 64; i += 3) CHECK(t.add(headers(i), 0, TimeoutClass::kUdpTwoWay));
  CHECK(t.table.size() == 64);
}

TEST_CASE("a walk shows every record once, in pieces of any size") {
  Table t(100);
  for (uint32_t i = 0; i < 100; ++i) t.add(headers(i), 0, TimeoutClass::kUdpTwoWay);
  for (uint32_t i = 0; i < 100; i += 2) t.table.remove(*t.find(headers(i), 0));
  for (uint32_t piece : {1u, 7u, 100u, 1000u}) {
    uint32_t seen = 0, from = 0;
    do from = t.table.walk(from, piece, [&](const Connection& c) { seen += c.source_port % 2; });
    while (from);
    CHECK(seen == 50);
  }
}

TEST_CASE("a record's share of the buckets is less than 8 bytes, whatever the limit") {
  constexpr uint64_t kPair = 32;  // addresses of IPv6, whose memory IPv4 never touches
  for (uint32_t limit : {1000u, 1'000'000u, 1u << 20, (1u << 20) + 1, 4'000'000u, 1u << 26}) {
    CAPTURE(limit);
    const auto image = ConnectionTable::image(limit, sizeof(Connection));
    CHECK(image.records - image.buckets < uint64_t{limit} * 8);
    CHECK(image.end - image.records == (limit + 1) * (sizeof(Connection) + kPair));
  }
}

TEST_CASE("ageing goes on when milliseconds wrap") {
  Table t(8);
  t.add(headers(1), UINT32_MAX - 1000, TimeoutClass::kUdpOneWay);
  CHECK(t.find(headers(1), 5000));
  t.table.expire(5000, t.profiles, 64);
  CHECK(t.find(headers(1), 5000));
  CHECK_FALSE(t.find(headers(1), 40'000));
  t.add(headers(2), UINT32_MAX - 1000, TimeoutClass::kUdpOneWay);
  t.table.expire(40'000, t.profiles, 64);
  CHECK(t.table.size() == 0);
}

}  // namespace
}  // namespace headgate::test
