// The gate: every reason of the parse group, and what good frames of each kind say.
#include "packet/parse.h"

#include <doctest/doctest.h>

#include <tuple>

#include "stages/stage.h"
#include "test/bad_frames.h"

namespace headgate::test {
namespace {

// A frame of its own size, so that the address sanitizer sees every byte read beyond it.
struct Parsed {
  Bytes buffer;
  Frame frame;
  Reason reason;
  explicit Parsed(const Bytes& bytes, const Offload& offload = {}) : buffer(bytes) {
    frame.buffer = frame.data = buffer.data();
    frame.length = static_cast<uint32_t>(buffer.size());
    frame.offload = offload;
    reason = parse(frame);
  }
  explicit Parsed(const Packet& packet) : Parsed(packet.bytes(), packet.offload()) {}
  const Headers& h() const { return frame.headers; }
  std::tuple<int, int, bool> part() const { return {frame.part.offset, frame.part.length, frame.part.more}; }
};

std::string name_of(Reason reason) {
  return kReasonTexts[static_cast<size_t>(reason)].name;
}

Packet tcp(bool v6 = false) {
  Packet p;
  p.protocol = kTcp;
  if (v6) p.source = "fd00::1", p.destination = "fd00::2";
  return p;
}

TEST_CASE("parse refuses each malformed frame for its reason") {
  for (const BadFrame& bad : bad_frames()) {
    CAPTURE(bad.what);
    CHECK(name_of(Parsed(bad.bytes, bad.offload).reason) == name_of(bad.reason));
  }
}

TEST_CASE("parse reads a TCP segment with options, over both families") {
  for (bool v6 : {false, true}) {
    Packet p = tcp(v6);
    p.tcp_flags = kSyn | kAck;
    p.tcp_options = {2, 4, 5, 0xb4};
    Parsed parsed(p);
    REQUIRE(name_of(parsed.reason) == "none");
    CHECK(parsed.h().layer3 == (v6 ? Layer3::kIpv6 : Layer3::kIpv4));
    CHECK(parsed.h().layer3_offset == 14);
    CHECK(parsed.h().layer4_offset == (v6 ? 54 : 34));
    CHECK(parsed.h().payload_offset == parsed.h().layer4_offset + 24);
    CHECK(parsed.h().layer3_length == p.bytes().size() - 14);
    CHECK(parsed.h().protocol == kTcp);
    CHECK(parsed.h().tcp_flags == (kSyn | kAck));
    CHECK(parsed.h().source_port == 1000);
    CHECK(parsed.h().destination_port == 2000);
    CHECK(parsed.h().source == address_of(p.source));
    CHECK(parsed.h().destination == address_of(p.destination));
    CHECK_FALSE(parsed.h().fragment);
  }
}

TEST_CASE("parse takes off one and two VLAN tags") {
  Packet p;
  p.vlans = {0x2005};
  Parsed one(p);
  REQUIRE(name_of(one.reason) == "none");
  CHECK(one.h().tags == 1);
  CHECK(one.h().vlan[0] == 0x2005);
  CHECK(one.h().ethertype == 0x0800);
  CHECK(one.h().layer3_offset == 18);
  CHECK(one.h().layer4_offset == 38);
  p.vlans = {100, 200};
  Parsed two(p);
  REQUIRE(name_of(two.reason) == "none");
  CHECK(two.h().tags == 2);
  CHECK(two.h().vlan[0] == 100);
  CHECK(two.h().vlan[1] == 200);
  CHECK(two.h().layer4_offset == 42);
}

TEST_CASE("parse goes behind IPv4 options, up to the largest header") {
  for (size_t size : {4, 20, 40}) {
    Packet p;
    p.ip_options = Bytes(size, 1);
    Parsed parsed(p);
    REQUIRE(name_of(parsed.reason) == "none");
    CHECK(parsed.h().layer4_offset == 34 + size);
    CHECK(parsed.h().source_port == 1000);
  }
  Packet p;
  p.ip_options = {7, 3, 4, 0, 131, 131, 131, 131};  // what stands behind the end of the list is no option
  CHECK(name_of(Parsed(p).reason) == "none");
}

TEST_CASE("parse leaves Ethernet padding out of the packet") {
  Packet p;
  p.payload = {1, 2};
  Bytes bytes = p.bytes();
  bytes.resize(60);
  Parsed parsed(bytes);
  REQUIRE(name_of(parsed.reason) == "none");
  CHECK(parsed.h().layer3_length == 30);
}

TEST_CASE("parse tells first, later and last fragments, and atomic ones are none") {
  for (bool v6 : {false, true}) {
    Packet p;
    if (v6) p.source = "fd00::1", p.destination = "fd00::2", p.fragment = true;
    p.id = v6 ? 0x12345678 : 0x1234;
    p.payload.resize(16);
    p.more = true;
    Parsed first(p);
    REQUIRE(name_of(first.reason) == "none");
    CHECK(first.h().fragment);
    CHECK(first.h().first_fragment);
    CHECK(first.h().fragment_id == p.id);
    CHECK(first.h().destination_port == 2000);
    CHECK(first.part() == std::tuple(0, 24, true));
    p.fragment_offset = 24;
    Parsed later(p);
    REQUIRE(name_of(later.reason) == "none");
    CHECK(later.h().fragment);
    CHECK_FALSE(later.h().first_fragment);
    CHECK(later.h().layer4_offset == 0);
    CHECK(later.h().destination_port == 0);
    CHECK(later.h().protocol == kUdp);
    CHECK(later.part() == std::tuple(24, 16, true));
    p.more = false;
    p.payload.resize(3);
    CHECK(Parsed(p).h().fragment);
    CHECK(Parsed(p).part() == std::tuple(24, 3, false));
    p.fragment_offset = v6 ? 65528 : 65512;  // as long as can be: the IPv4 header counts
    CHECK(name_of(Parsed(p).reason) == "none");
    p.fragment_offset = 0;
    Parsed atomic(p);
    REQUIRE(name_of(atomic.reason) == "none");
    CHECK_FALSE(atomic.h().fragment);
    CHECK(atomic.h().destination_port == 2000);
  }
}

TEST_CASE("parse walks eight IPv6 extension headers of every kind") {
  Packet p = tcp(true);
  p.extensions = {{0}, {60, Bytes(14)}, {43, {2, 0, 0, 0, 0, 0}}, {51, Bytes(10)}, {60}, {60}, {60}, {60}};
  Parsed parsed(p);
  REQUIRE(name_of(parsed.reason) == "none");
  CHECK(parsed.h().protocol == kTcp);
  CHECK(parsed.h().layer4_offset == p.layer4());
  CHECK(parsed.h().destination_port == 2000);
}

TEST_CASE("parse reads SCTP, ICMP and protocols it does not know") {
  Packet p;
  p.protocol = kSctp;
  CHECK(Parsed(p).h().destination_port == 2000);
  p.protocol = 47;  // GRE
  Parsed gre(p);
  REQUIRE(name_of(gre.reason) == "none");
  CHECK(gre.h().protocol == 47);
  CHECK(gre.h().layer4_offset == 0);
  p.protocol = kIcmp;
  p.icmp_type = 3, p.icmp_code = 13;
  Parsed icmp(p);
  REQUIRE(name_of(icmp.reason) == "none");
  CHECK(icmp.h().icmp_type == 3);
  CHECK(icmp.h().icmp_code == 13);
}

// The ports stand for the flow: a request and its reply are one, anything else is another.
TEST_CASE("an echo and its reply have one key; a request the other way or another message has none of it") {
  struct Key {
    uint16_t a, b;
    bool operator==(const Key&) const = default;
  };
  const auto key = [](bool v6, uint8_t type, uint8_t code, uint16_t id, bool back) {
    Packet p;
    if (v6) p.source = "fd00::1", p.destination = "fd00::2";
    p.protocol = v6 ? kIcmp6 : kIcmp;
    p.icmp_type = type, p.icmp_code = code, p.icmp_id = id;
    const Headers h = Parsed(p).h();
    return back ? Key{h.destination_port, h.source_port} : Key{h.source_port, h.destination_port};
  };
  for (bool v6 : {false, true}) {
    const uint8_t echo = v6 ? 128 : 8, reply = v6 ? 129 : 0;
    for (uint32_t id = 0; id < 0x10000; id += 0x101) {
      const Key one = key(v6, echo, 0, static_cast<uint16_t>(id), false);
      REQUIRE(one == key(v6, reply, 0, static_cast<uint16_t>(id), true));
      REQUIRE_FALSE(one == key(v6, echo, 0, static_cast<uint16_t>(id), true));
      const uint8_t type = static_cast<uint8_t>(id >> 8), code = static_cast<uint8_t>(id);
      if (type == echo || type == reply || (v6 && type >= 133 && type <= 137)) continue;
      for (bool back : {false, true}) REQUIRE_FALSE(one == key(v6, type, code, 99, back));
      REQUIRE_FALSE(key(v6, type, code, 99, false) == key(v6, type, code, 99, true));
    }
  }
}

TEST_CASE("parse accepts every neighbour discovery message and ARP") {
  for (uint8_t type : {133, 134, 135, 136, 137}) {
    CAPTURE(type);
    Parsed parsed(neighbour_discovery(type, "fe80::1", "fe80::2", "fe80::2", 1));
    REQUIRE(name_of(parsed.reason) == "none");
    CHECK_FALSE(is_tracked(parsed.h()));
  }
  for (uint16_t operation : {1, 2}) {
    Parsed arp(arp_frame(operation, kTestSource, "10.9.0.1", "10.9.0.2"));
    REQUIRE(name_of(arp.reason) == "none");
    CHECK(arp.h().layer3 == Layer3::kArp);
    CHECK(arp.h().source == address_of("10.9.0.1"));
    CHECK(arp.h().destination == address_of("10.9.0.2"));
  }
}

TEST_CASE("parse accepts super-frames and says where their payload begins") {
  for (bool v6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp}) {
      Packet p = tcp(v6);
      p.protocol = protocol;
      p.partial = true;
      p.vlans = {7};
      p.payload.resize(5000);
      Parsed parsed(p.bytes(), p.super_offload(1400));
      REQUIRE(name_of(parsed.reason) == "none");
      CHECK(parsed.frame.offload.header_length == parsed.h().payload_offset);
      CHECK(parsed.h().wire_packets == 4);
    }
  Packet exact = tcp();
  exact.partial = true;
  exact.payload.resize(2800);
  CHECK(Parsed(exact.bytes(), exact.super_offload(1400)).h().wire_packets == 2);
  exact.payload.clear();
  CHECK(Parsed(exact.bytes(), exact.super_offload(1400)).h().wire_packets == 1);
}

TEST_CASE("an ICMP message of zeros alone has either zero as its checksum") {
  Packet p;
  p.protocol = kIcmp, p.icmp_type = 0, p.icmp_id = 0;
  p.payload.clear();
  Bytes bytes = p.bytes();
  REQUIRE(get16(bytes, 36) == 0xffff);
  CHECK(name_of(Parsed(bytes).reason) == "none");
  put16(bytes, 36, 0);
  CHECK(name_of(Parsed(bytes).reason) == "none");
  put16(bytes, 40, 1);
  CHECK(name_of(Parsed(bytes).reason) == "icmp-bad-checksum");
}

TEST_CASE("parse accepts a partial checksum of the transport header, and one inside a tunnel's payload") {
  Packet p;
  p.payload.resize(60);
  p.partial = true;
  CHECK(name_of(Parsed(p).reason) == "none");
  Offload inner;
  inner.partial_checksum = true, inner.checksum_start = 60, inner.checksum_offset = 16;
  CHECK(name_of(Parsed(p.bytes(), inner).reason) == "none");
  p.protocol = 47;
  CHECK(name_of(Parsed(p.bytes(), inner).reason) == "none");
}

}  // namespace
}  // namespace headgate::test
