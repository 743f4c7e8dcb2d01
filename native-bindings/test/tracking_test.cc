// What connections that open and close do on the packet path: TCP and SCTP by the profile of the section that judged
// them, and ICMP errors by the connection that they are about. The state machines alone are tested in tcp_state_test.cc
// and sctp_state_test.cc.
#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

void set_mode(Bed& bed, TrackingMode mode) {
  Delta delta;
  delta.mode = mode;
  bed.publish(delta);
}

void open(Bed& bed, uint16_t port = 1000) {
  REQUIRE(bed.reached("a", tcp_packet(kSyn, port), "b") == 1);
  REQUIRE(bed.reached("b", tcp_packet(kSyn | kAck, port).reversed(), "a") == 1);
  REQUIRE(bed.reached("a", tcp_packet(kAck, port), "b") == 1);
}

std::string state(Bed& bed) {
  return state_of(bed.connections().at(0));
}

TEST_CASE("strict: what does not begin with a SYN is dropped, and leaves no record") {
  Bed bed;
  set_mode(bed, TrackingMode::kStrict);
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 0);
  CHECK(bed.reached("b", tcp_packet(kSyn | kAck).reversed(), "a") == 0);
  CHECK(bed.drops(Reason::kTcpMidStream) == 2);
  CHECK(bed.connections().empty());
  open(bed);
  CHECK(state(bed) == "established");
}

TEST_CASE("a segment that does not fit changes nothing: neither state, nor counts, nor idle time") {
  Bed bed;
  open(bed);
  const Connection before = bed.connections()[0];
  bed.pass(1000);
  Packet far = tcp_packet(kAck);
  far.sequence = 100'000;
  CHECK(bed.reached("a", far, "b") == 0);
  CHECK(bed.drops(Reason::kTcpOutOfWindow) == 1);
  const Connection after = bed.connections()[0];
  CHECK(memcmp(&before, &after, sizeof before) == 0);
}

TEST_CASE("a reset outside the window ends nothing; an exact one does") {
  Bed bed;
  open(bed);
  Packet blind = tcp_packet(kRst);
  blind.sequence = 50'000;
  CHECK(bed.reached("a", blind, "b") == 0);
  CHECK(bed.drops(Reason::kTcpBadReset) == 1);
  CHECK(state(bed) == "established");
  CHECK(bed.reached("a", tcp_packet(kRst), "b") == 1);
  CHECK(state(bed) == "reset");
}

TEST_CASE("what a policy denies moves no state") {
  Bed bed(Action::kDrop);
  CHECK(bed.reached("a", tcp_packet(kSyn), "b") == 0);
  CHECK(state(bed) == "none");
}

TEST_CASE("a TCP segment in fragments: what later ones bring may be acknowledged") {
  Bed bed;
  open(bed);
  Packet first = tcp_packet(kAck);
  first.payload = Bytes(44, 1);  // 64 with its header
  first.id = 9, first.more = true;
  CHECK(bed.reached("a", first, "b") == 1);
  Packet rest = first;
  rest.fragment_offset = 64, rest.more = false, rest.payload = Bytes(100, 1);
  CHECK(bed.reached("a", rest, "b") == 1);
  Packet ack = tcp_packet(kAck).reversed();
  ack.acknowledgement = 1 + 44 + 100;
  CHECK(bed.reached("b", ack, "a") == 1);
}

// Rules of two sections at "b": to port 80, which is followed strictly and briefly, and to all others.
struct Sections {
  Bed bed;
  Sections() {
    Delta delta;
    ProfileChange strict{"strict", TrackingMode::kStrict, {}};
    strict.timeouts[3] = 1'000;  // udpOneWay
    delta.profiles = {strict};
    RuleChange web = rule("web", Action::kAllow);
    ServiceMatch port;
    port.ports = {{80, 80}};
    web.services.emplace({port});
    delta.set_rules = {web, rule("any", Action::kAllow)};
    delta.set_scopes = {{"b", "1", {"b"}}};
    delta.set_entries = {{"web", "1", "web", 0, 1, true, false, "b", "strict"},
                         {"any", "1", "any", 0, 2, true, false, "b", ""}};
    bed.publish(delta);
  }
};

Packet to_port(Packet p, uint16_t port) {
  p.destination_port = port;
  return p;
}

TEST_CASE("each section follows its connections in its own way") {
  Sections s;
  CHECK(s.bed.reached("a", to_port(tcp_packet(kAck), 80), "b") == 0);
  CHECK(s.bed.drops(Reason::kTcpMidStream) == 1);
  CHECK(s.bed.reached("a", to_port(tcp_packet(kAck), 81), "b") == 1);
}

TEST_CASE("each section has its own idle times, and an edit gives a live connection others") {
  Sections s;
  CHECK(s.bed.reached("a", to_port(Packet{}, 80), "b") == 1);
  CHECK(s.bed.reached("a", to_port(Packet{}, 81), "b") == 1);
  s.bed.pass(3'000);
  s.bed.run();
  REQUIRE(s.bed.connections().size() == 1);
  CHECK(s.bed.connections()[0].destination_port == 81);
  Delta delta;
  delta.set_entries = {{"any", "2", "any", 0, 2, true, false, "b", "strict"}};
  s.bed.publish(delta);
  CHECK(s.bed.reached("a", to_port(Packet{}, 81), "b") == 1);
  s.bed.pass(3'000);
  s.bed.run();
  CHECK(s.bed.connections().empty());
}

TEST_CASE("a profile that entries name cannot go; without them it can, and its number is used again") {
  Sections s;
  Delta none;
  none.profiles.emplace();
  const Refusal refusal = s.bed.publisher().apply(none);
  CHECK(refusal.code == "invalid-delta");
  CHECK(refusal.message.find("'strict'") != std::string::npos);
  none.set_entries = {{"web", "2", "web", 0, 1, true, false, "b", ""}};
  s.bed.publish(none);
  CHECK(s.bed.reached("a", to_port(tcp_packet(kAck), 80), "b") == 1);
  Delta many;
  many.profiles.emplace();
  for (int i = 0; i < 15; ++i) many.profiles->push_back({"p" + std::to_string(i), TrackingMode::kStrict, {}});
  s.bed.publish(many);
  many.profiles->push_back({"one more", TrackingMode::kStrict, {}});
  CHECK(s.bed.publisher().apply(many).code == "table-full");
  Delta unknown;
  unknown.set_entries = {{"web", "3", "web", 0, 1, true, false, "b", "nobody"}};
  CHECK(s.bed.publisher().apply(unknown).message.find("profile 'nobody'") != std::string::npos);
}

TEST_CASE("an ICMP error about a packet of a connection passes under its verdicts, in both families") {
  for (bool v6 : {false, true}) {
    Bed bed(Action::kDrop);
    RuleChange udp = rule("udp", Action::kAllow);
    ServiceMatch any;
    any.protocol = kUdp;
    udp.services.emplace({any});
    bed.index("a", {{}}, {{udp}});
    bed.index("b", {{udp}}, {{}});
    Packet p;
    if (v6) p.source = "fd00::1", p.destination = "fd00::2";
    const uint8_t unreachable = v6 ? 1 : 3;
    const Packet error = icmp_error(p, unreachable, p.destination);
    CHECK(bed.reached("b", error, "a") == 0);
    CHECK(bed.drops(Reason::kIcmpErrorUnrelated) == 1);
    REQUIRE(bed.reached("a", p, "b") == 1);
    const uint64_t packets = bed.connections()[0].packets(1);
    CHECK(bed.reached("b", error, "a") == 1);
    CHECK(bed.connections().size() == 1);
    CHECK(bed.connections()[0].packets(1) == packets);
    // Of another port nothing was sent.
    Packet other = p;
    other.source_port = 5;
    CHECK(bed.reached("b", icmp_error(other, unreachable, p.destination), "a") == 0);
    // Once the connection is forbidden, what is said of it is too.
    bed.index("b", {{}}, {{}});
    CHECK(bed.reached("b", error, "a") == 0);
  }
}

TEST_CASE("an ICMP error about an answer goes to the responder") {
  Bed bed;
  Packet p;
  bed.reached("a", p, "b");
  bed.reached("b", p.reversed(), "a");
  CHECK(bed.reached("a", icmp_error(p.reversed(), 3, "10.9.0.1"), "b") == 1);
}

TEST_CASE("an ICMP error has to quote a number that TCP may have sent") {
  Bed bed;
  open(bed);
  const Packet sent = tcp_packet(kAck);
  CHECK(bed.reached("b", icmp_error(sent, 3, "10.9.0.2"), "a") == 1);
  Packet blind = sent;
  blind.sequence = 1'000'000;
  CHECK(bed.reached("b", icmp_error(blind, 3, "10.9.0.2"), "a") == 0);
  CHECK(bed.drops(Reason::kIcmpErrorUnrelated) == 1);
  CHECK(state(bed) == "established");
}

TEST_CASE("an ICMP error from a workload that is no end is judged by that workload's rules") {
  Bed bed;
  const Mac router{2, 0, 0, 0, 0, 9};
  bed.add(workload("r", router));
  Packet p;
  REQUIRE(bed.reached("a", p, "b") == 1);
  Packet error = icmp_error(p, 11, "10.9.0.9");
  error.source_mac = router;
  CHECK(bed.reached("r", error, "a") == 1);
  bed.index("r", {{}}, {{rule("no", Action::kDrop)}});
  CHECK(bed.reached("r", error, "a") == 0);
  CHECK(bed.drops(Reason::kPolicyDrop) == 1);
}

TEST_CASE("an ICMP error in fragments, about an error, or about a later fragment is about nothing") {
  Bed bed;
  Packet p;
  bed.reached("a", p, "b");
  const Packet error = icmp_error(p, 3, "10.9.0.2");
  Packet part = error;
  part.more = true, part.payload.resize(32), part.id = 5;
  CHECK(bed.reached("b", part, "a") == 0);
  part.more = false, part.fragment_offset = 40;
  CHECK(bed.reached("b", part, "a") == 0);
  CHECK(bed.reached("b", icmp_error(icmp_error(p.reversed(), 3, "10.9.0.1"), 3, "10.9.0.2"), "a") == 0);
  Packet later = p;
  later.fragment_offset = 80;
  CHECK(bed.reached("b", icmp_error(later, 3, "10.9.0.2"), "a") == 0);
  CHECK(bed.drops(Reason::kIcmpErrorMalformed) == 4);
  CHECK(bed.reached("b", error, "a") == 1);
}

Packet sctp(uint8_t chunk, uint32_t tag, uint32_t init_tag = 0) {
  Packet p;
  p.protocol = kSctp;
  p.sctp_tag = tag;
  p.payload = Bytes(20);
  p.payload[0] = chunk;
  p.payload[3] = 20;
  put16(p.payload, 4, init_tag >> 16);
  put16(p.payload, 6, init_tag & 0xffff);
  return p;
}

TEST_CASE("SCTP: an association opens, goes by its tags, and closes") {
  Bed bed;
  set_mode(bed, TrackingMode::kStrict);
  CHECK(bed.reached("a", sctp(SctpPacket::kData, 20), "b") == 0);
  CHECK(bed.drops(Reason::kSctpMidStream) == 1);
  CHECK(bed.connections().empty());
  CHECK(bed.reached("a", sctp(SctpPacket::kInit, 0, 10), "b") == 1);
  CHECK(state(bed) == "cookie-wait");
  CHECK(bed.reached("b", sctp(SctpPacket::kInitAck, 11, 20).reversed(), "a") == 0);
  CHECK(bed.drops(Reason::kSctpBadTag) == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kInitAck, 10, 20).reversed(), "a") == 1);
  CHECK(bed.reached("a", sctp(SctpPacket::kCookieEcho, 20), "b") == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kCookieAck, 10).reversed(), "a") == 1);
  CHECK(state(bed) == "established");
  CHECK(bed.reached("a", sctp(SctpPacket::kData, 20), "b") == 1);
  CHECK(bed.reached("a", sctp(SctpPacket::kData, 21), "b") == 0);
  CHECK(bed.reached("a", sctp(SctpPacket::kAbort, 21), "b") == 0);
  CHECK(state(bed) == "established");
  CHECK(bed.reached("a", sctp(SctpPacket::kShutdown, 20), "b") == 1);
  CHECK(state(bed) == "shutdown");
  CHECK(bed.reached("b", sctp(SctpPacket::kShutdownAck, 10).reversed(), "a") == 1);
  CHECK(bed.reached("a", sctp(SctpPacket::kShutdownComplete, 20), "b") == 1);
  CHECK(state(bed) == "closed");
  CHECK(bed.connections()[0].timeout_class() == TimeoutClass::kClosing);
  CHECK(bed.reached("a", sctp(SctpPacket::kInit, 0, 30), "b") == 1);
  CHECK(bed.connections().size() == 1);
  CHECK(state(bed) == "cookie-wait");
}

TEST_CASE("SCTP: an end that has lost its state opens the association again, and the old tags count until then") {
  Bed bed;
  bed.reached("a", sctp(SctpPacket::kInit, 0, 10), "b");
  bed.reached("b", sctp(SctpPacket::kInitAck, 10, 20).reversed(), "a");
  bed.reached("a", sctp(SctpPacket::kCookieEcho, 20), "b");
  bed.reached("b", sctp(SctpPacket::kCookieAck, 10).reversed(), "a");
  CHECK(bed.reached("a", sctp(SctpPacket::kInit, 0, 11), "b") == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kData, 10).reversed(), "a") == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kInitAck, 11, 21).reversed(), "a") == 1);
  CHECK(bed.reached("a", sctp(SctpPacket::kCookieEcho, 21), "b") == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kCookieAck, 11).reversed(), "a") == 1);
  CHECK(bed.reached("b", sctp(SctpPacket::kData, 10).reversed(), "a") == 0);
  CHECK(bed.reached("a", sctp(SctpPacket::kData, 20), "b") == 0);
  CHECK(bed.reached("a", sctp(SctpPacket::kData, 21), "b") == 1);
  CHECK(state(bed) == "established");
}

TEST_CASE("SCTP: an abort may carry its receiver's own tag, where it says so") {
  for (bool reflected : {false, true}) {
    Bed bed;
    bed.reached("a", sctp(SctpPacket::kInit, 0, 10), "b");
    bed.reached("b", sctp(SctpPacket::kInitAck, 10, 20).reversed(), "a");
    Packet abort = sctp(SctpPacket::kAbort, 10);
    abort.payload[1] = reflected;
    CHECK(bed.reached("a", abort, "b") == reflected);
  }
}

}  // namespace
}  // namespace headgate::test
