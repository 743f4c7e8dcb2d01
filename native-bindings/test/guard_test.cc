// Spoofguard: every reason for which a frame is not its sender's, and what each kind of workload may send.
#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

const std::string kLinkLocal = "fe80::68:67ff:fe00:1";  // made from kTestSource

// "a" may use 10.9.0.1, 10.9.0.16/28 and fd00::1; "b" anything.
struct Guarded : Bed {
  Guarded() : Bed(1024u) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    publish(delta);
    add(workload("a", kTestSource, {{"10.9.0.1", "10.9.0.16/28", "fd00::1"}}));
    add(workload("b", kTestDestination));
  }
  // Why the frame from "a" is dropped; "none" when it reaches "b".
  std::string outcome(const Bytes& bytes) {
    const uint64_t before = drops();
    std::array<uint64_t, kReasons> counts;
    for (size_t r = 0; r < kReasons; ++r) counts[r] = drops(static_cast<Reason>(r));
    send("a", bytes);
    run();
    const size_t got = take("b").size();
    if (drops() == before) return got == 1 ? "none" : "lost";
    CHECK(drops() == before + 1);
    CHECK(got == 0);
    for (size_t r = 0; r < kReasons; ++r)
      if (drops(static_cast<Reason>(r)) != counts[r]) return kReasonTexts[r].name;
    return "?";
  }
  std::string outcome(const Packet& p) { return outcome(p.bytes()); }
};

Packet from(const std::string& source, const std::string& destination = "") {
  Packet p;
  p.source = source;
  p.destination = !destination.empty() ? destination : p.ipv6() ? "fd00::2" : "10.9.0.2";
  return p;
}

TEST_CASE("a workload sends from its MAC alone") {
  Guarded bed;
  CHECK(bed.outcome(Packet{}) == "none");
  for (size_t at = 0; at < 6; ++at) {
    Packet p;
    p.source_mac[at] ^= at ? 1 : 4;
    CHECK(bed.outcome(p) == "spoofed-mac");
  }
  Packet p;
  p.source_mac = kTestDestination;
  CHECK(bed.outcome(p) == "spoofed-mac");
}

TEST_CASE("a workload sends from its addresses alone") {
  Guarded bed;
  for (const char* good : {"10.9.0.1", "10.9.0.16", "10.9.0.31", "fd00::1"})
    CHECK_MESSAGE(bed.outcome(from(good)) == "none", good);
  for (const char* bad : {"10.9.0.3", "10.9.0.15", "10.9.0.32", "0.0.0.0"})
    CHECK_MESSAGE(bed.outcome(from(bad)) == "spoofed-ipv4", bad);
  for (const char* bad : {"fd00::3", "::", "2001:db8::1"}) CHECK_MESSAGE(bed.outcome(from(bad)) == "spoofed-ipv6", bad);
}

TEST_CASE("its link-local address is the one made from its MAC") {
  Guarded bed;
  CHECK(bed.outcome(from(kLinkLocal)) == "none");
  CHECK(bed.outcome(from("fe80::1")) == "spoofed-ipv6");
  CHECK(bed.outcome(from("fe80::68:67ff:fe00:2")) == "spoofed-ipv6");
}

TEST_CASE("the unspecified address is for DHCP, duplicate address detection and MLD") {
  Guarded bed;
  Packet dhcp = from("0.0.0.0", "255.255.255.255");
  dhcp.source_port = 68, dhcp.destination_port = 67;
  CHECK(bed.outcome(dhcp) == "none");
  dhcp.destination_port = 68;
  CHECK(bed.outcome(dhcp) == "spoofed-ipv4");
  dhcp.destination_port = 67, dhcp.source_port = 67;
  CHECK(bed.outcome(dhcp) == "spoofed-ipv4");
  dhcp.source_port = 68, dhcp.protocol = kTcp;
  CHECK(bed.outcome(dhcp) == "spoofed-ipv4");
  CHECK(bed.outcome(neighbour_discovery(135, "::", "ff02::1:ff00:1", "fd00::1")) == "none");
  CHECK(bed.outcome(neighbour_discovery(133, "::", "ff02::2", "")) == "none");
  Packet mld = from("::", "ff02::16");
  mld.protocol = kIcmp6;
  for (auto [type, wanted] :
       {std::pair{131, "none"}, {132, "none"}, {143, "none"}, {130, "spoofed-ipv6"}, {128, "spoofed-ipv6"}}) {
    mld.icmp_type = static_cast<uint8_t>(type);
    CHECK(bed.outcome(mld) == wanted);
  }
}

TEST_CASE("a workload speaks ARP for its own addresses") {
  Guarded bed;
  CHECK(bed.outcome(arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2")) == "none");
  CHECK(bed.outcome(arp_frame(2, kTestSource, "10.9.0.20", "10.9.0.2", kTestDestination)) == "none");
  CHECK(bed.outcome(arp_frame(1, kTestSource, "0.0.0.0", "10.9.0.1")) == "none");  // a probe (RFC 5227)
  CHECK(bed.outcome(arp_frame(2, kTestSource, "10.9.0.2", "10.9.0.3")) == "spoofed-arp");
  Bytes other_mac = arp_frame(2, kTestSource, "10.9.0.1", "10.9.0.2", kTestDestination);
  other_mac[27] ^= 1;
  CHECK(bed.outcome(other_mac) == "spoofed-arp");
}

TEST_CASE("a workload speaks neighbour discovery for its own addresses, and is no router") {
  Guarded bed;
  const Mac other = {2, 9, 9, 9, 9, 9};
  const auto to_b = [](Packet p) {
    p.destination_mac = kTestDestination;
    return p.bytes();
  };
  CHECK(bed.outcome(to_b(neighbour_discovery(135, kLinkLocal, "fe80::2", "fd00::2", 1))) == "none");
  CHECK(bed.outcome(to_b(neighbour_discovery(135, kLinkLocal, "fe80::2", "fd00::2", 1, other))) == "spoofed-nd");
  CHECK(bed.outcome(to_b(neighbour_discovery(135, "fd00::7", "fe80::2", "fd00::2", 1))) == "spoofed-ipv6");
  CHECK(bed.outcome(to_b(neighbour_discovery(133, kLinkLocal, "ff02::2", "", 1))) == "none");
  CHECK(bed.outcome(to_b(neighbour_discovery(133, kLinkLocal, "ff02::2", "", 1, other))) == "spoofed-nd");
  CHECK(bed.outcome(to_b(neighbour_discovery(136, "fd00::1", "fe80::2", "fd00::1", 2))) == "none");
  CHECK(bed.outcome(to_b(neighbour_discovery(136, "fd00::1", "fe80::2", kLinkLocal, 2))) == "none");
  CHECK(bed.outcome(to_b(neighbour_discovery(136, "fd00::1", "fe80::2", "fd00::2", 2))) == "spoofed-nd");
  CHECK(bed.outcome(to_b(neighbour_discovery(136, "fd00::1", "fe80::2", "fd00::1", 2, other))) == "spoofed-nd");
  CHECK(bed.outcome(to_b(neighbour_discovery(134, kLinkLocal, "ff02::1", "", 1))) == "spoofed-nd");
  CHECK(bed.outcome(to_b(neighbour_discovery(137, kLinkLocal, "fe80::2", "fd00::9"))) == "spoofed-nd");
}

TEST_CASE("a workload without addresses may use any, and be a router, but not with another's MAC") {
  Guarded bed;
  const auto reached_a = [&](Packet p) {
    p.source_mac = kTestDestination, p.destination_mac = kTestSource;
    bed.send("b", p);
    bed.run();
    return bed.take("a").size() == 1;
  };
  CHECK(reached_a(from("203.0.113.5", "10.9.0.1")));
  CHECK(reached_a(from("2001:db8::5", "fd00::1")));
  CHECK(reached_a(neighbour_discovery(134, "fe80::9", "ff02::1", "", 1, kTestDestination)));
  CHECK(reached_a(neighbour_discovery(136, "fe80::9", "ff02::1", "fd00::77", 2, kTestDestination)));
  CHECK_FALSE(reached_a(neighbour_discovery(136, "fe80::9", "ff02::1", "fd00::77", 2, kTestSource)));
  CHECK(bed.drops(Reason::kSpoofedNd) == 1);
}

TEST_CASE("tags are for trunks, and there each tag is a workload's") {
  Guarded bed;
  Packet tagged;
  tagged.vlans = {0};
  CHECK(bed.outcome(tagged) == "vlan-not-allowed");
  tagged.vlans = {5, 6};
  CHECK(bed.outcome(tagged) == "vlan-not-allowed");
}

TEST_CASE("MACs that are not pinned are learned, sixty-four each") {
  Bed bed;
  bed.add(workload("free"));
  const auto send_from = [&](uint8_t n) {
    Packet p;
    p.source_mac = {2, 7, 0, 0, 0, n};
    return bed.reached("free", p, "b");
  };
  for (uint8_t n = 0; n < 64; ++n) REQUIRE(send_from(n) == 1);
  CHECK(send_from(64) == 0);
  CHECK(bed.drops(Reason::kMacLimit) == 1);
  CHECK(send_from(10) == 1);
  Packet p;
  p.source_mac = kTestSource;
  CHECK(bed.reached("free", p, "b") == 0);
  CHECK(bed.drops(Reason::kSpoofedMac) == 1);
  bed.pass(301'000);
  CHECK(send_from(64) == 1);
}

TEST_CASE("a workload that sends counts what it sends, and what of it was dropped") {
  Guarded bed;
  Packet p;
  bed.outcome(p);
  bed.outcome(from("10.9.0.3"));
  CHECK(bed.counters("a").sent_packets == 1);
  CHECK(bed.counters("a").sent_bytes == p.bytes().size());
  CHECK(bed.counters("a").drops[static_cast<size_t>(Reason::kSpoofedIpv4)] == 1);
  CHECK(bed.counters("b").received_packets == 1);
  CHECK(bed.counters("b").received_bytes == p.bytes().size());
}

}  // namespace
}  // namespace headgate::test
