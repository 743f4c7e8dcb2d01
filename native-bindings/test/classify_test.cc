// The firewall: order, categories, observe, pass, default, logs, rejects, state, and what edits do to live connections.
#include <doctest/doctest.h>

#include <functional>

#include "test/bed.h"

namespace headgate::test {
namespace {

RuleChange service(const std::string& key, Action action, uint8_t protocol, uint16_t port = 0) {
  RuleChange r = rule(key, action);
  r.services = std::vector<ServiceMatch>{{protocol, -1, -1, {}, {}}};
  if (port) (*r.services)[0].ports = {{port, port}};
  return r;
}

Packet udp(uint16_t port = 2000, uint16_t from = 1000) {
  Packet p;
  p.source_port = from, p.destination_port = port;
  return p;
}

// A TCP connection from "a" to "b", opened by its three frames.
void open(Bed& bed, uint16_t from = 1000) {
  REQUIRE(bed.reached("a", tcp_packet(kSyn, from), "b") == 1);
  REQUIRE(bed.reached("b", tcp_packet(kSyn | kAck, from).reversed(), "a") == 1);
  REQUIRE(bed.reached("a", tcp_packet(kAck, from), "b") == 1);
}

TEST_CASE("both workloads must allow: the sender's out and the receiver's in") {
  Bed bed(Action::kDrop);
  const RuleChange allow = rule("allow", Action::kAllow);
  CHECK(bed.reached("a", udp(), "b") == 0);
  bed.index("a", {{}}, {{allow}});
  CHECK(bed.reached("a", udp(), "b") == 0);
  bed.index("b", {{}}, {{allow}});  // the wrong direction
  CHECK(bed.reached("a", udp(), "b") == 0);
  bed.index("b", {{allow}}, {{}});
  CHECK(bed.reached("a", udp(), "b") == 1);
  bed.index("a", {{allow}}, {{}});
  CHECK(bed.reached("a", udp(), "b") == 0);
}

TEST_CASE("the first match decides, category by category") {
  const RuleChange allow = rule("allow", Action::kAllow), drop = rule("drop", Action::kDrop);
  const RuleChange other = service("other", Action::kDrop, kTcp);
  Bed bed(Action::kDrop);
  bed.index("b", {{rule("in", Action::kAllow)}}, {{}});
  const auto decides = [&](const std::vector<Category>& categories) {
    bed.index("a", {{}}, categories);
    return bed.reached("a", udp(), "b") == 1;
  };
  CHECK(decides({{allow, drop}}));
  CHECK_FALSE(decides({{drop, allow}}));
  CHECK(decides({{other, allow, drop}}));
  CHECK(decides({{allow}, {}, {}, {drop}}));
  CHECK_FALSE(decides({{}, {drop}, {allow}, {}}));
  CHECK(decides({{}, {}, {}, {allow}}));
  CHECK_FALSE(decides({{other}, {}, {}, {other}}));
}

TEST_CASE("pass leaves the category, observe goes on in it") {
  const RuleChange allow = rule("allow", Action::kAllow), drop = rule("drop", Action::kDrop),
                   pass = rule("pass", Action::kPass);
  RuleChange watch = rule("watch", Action::kDrop), watch_pass = rule("watch-pass", Action::kPass);
  watch.observe = watch_pass.observe = true;
  Bed bed(Action::kDrop);
  bed.index("b", {{rule("in", Action::kAllow)}}, {{}});
  const auto decides = [&](const std::vector<Category>& categories) {
    bed.index("a", {{}}, categories);
    return bed.reached("a", udp(), "b") == 1;
  };
  CHECK(decides({{pass, drop}, {allow}, {}, {}}));
  CHECK(decides({{pass, drop}, {}, {}, {allow}}));
  CHECK_FALSE(decides({{pass, allow}, {}, {drop}, {allow}}));
  CHECK(bed.hit("pass", "a", Direction::kOut)->flows == 3);
  CHECK(bed.hit("pass", "a", Direction::kOut)->packets == 0);
  CHECK_FALSE(decides({{pass, allow}, {}, {pass, allow}, {}}));  // the default
  CHECK(decides({{watch, allow}, {}, {}, {}}));
  CHECK(bed.hit("watch", "a", Direction::kOut)->flows == 1);
  CHECK(bed.hit("watch", "a", Direction::kOut)->packets == 0);
  CHECK_FALSE(decides({{watch_pass, drop}, {allow}, {}, {}}));
  CHECK(bed.hit("watch-pass", "a", Direction::kOut)->flows == 1);
}

TEST_CASE("what no rule decides gets the default, and says so") {
  Bed bed(Action::kDrop);
  CHECK(bed.reached("a", udp(), "b") == 0);
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kOut) == 1);
  CHECK(bed.hit("", "a", Direction::kOut)->packets == 1);
  Delta delta;
  delta.default_action = Action::kAllow;
  bed.publish(delta);
  CHECK(bed.reached("a", udp(), "b") == 1);
  bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
  CHECK(bed.reached("a", udp(), "b") == 0);
  CHECK(bed.drops(Reason::kPolicyDrop, Direction::kIn) == 1);
  CHECK(bed.counters("b").drops[static_cast<size_t>(Reason::kPolicyDrop)] == 1);
}

TEST_CASE("answers need no rule; the verdict is reached once a flow") {
  Bed bed(Action::kDrop);
  const RuleChange allow = rule("allow", Action::kAllow);
  bed.index("a", {{}}, {{allow}});
  bed.index("b", {{allow}}, {{}});
  for (int i = 0; i < 10; ++i) {
    CHECK(bed.reached("a", udp(), "b") == 1);
    CHECK(bed.reached("b", udp().reversed(), "a") == 1);
  }
  CHECK(bed.hit("allow", "a", Direction::kOut)->flows == 1);
  CHECK(bed.hit("allow", "b", Direction::kIn)->flows == 1);
  CHECK(bed.hit("allow", "a", Direction::kOut)->packets == 20);
  CHECK_FALSE(bed.hit("allow", "a", Direction::kIn));
  CHECK(bed.reached("b", udp(2000, 999).reversed(), "a") == 0);  // not an answer to anything
}

// Hit counters of super-frames count the packets they stand for.
TEST_CASE("a super-frame counts as its segments") {
  Bed bed;
  Packet p = tcp_packet(kAck);
  p.payload.resize(5000);
  p.partial = true;
  bed.send("a", p.bytes(), p.super_offload(1000));
  bed.run();
  CHECK(bed.hit("", "b", Direction::kIn)->packets == 5);
  CHECK(bed.counters("a").sent_packets == 5);
  CHECK(bed.counters("b").received_packets == 5);
  CHECK(bed.connections()[0].packets(0) == 5);
}

TEST_CASE("TCP is rejected with a reset, the rest with an ICMP error, towards the sender alone") {
  for (const char* at : {"a", "b"}) {
    CAPTURE(at);
    Bed bed;
    const RuleChange reject = rule("reject", Action::kReject);
    at[0] == 'a' ? bed.index("a", {{}}, {{reject}}) : bed.index("b", {{reject}}, {{}});
    bed.send("a", tcp_packet(kSyn));
    bed.run();
    CHECK(bed.take("b").empty());
    auto got = bed.take("a");
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes[23] == kTcp);
    CHECK(got[0].bytes[47] == (kRst | kAck));
    CHECK(checksum_fault(got[0].bytes) == "");
    bed.send("a", udp());
    bed.run();
    got = bed.take("a");
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes[23] == kIcmp);
    CHECK(get16(got[0].bytes, 34) == 0x030d);
    CHECK(checksum_fault(got[0].bytes) == "");
    Packet v6 = udp();
    v6.source = "fd00::1", v6.destination = "fd00::2";
    bed.send("a", v6);
    bed.run();
    got = bed.take("a");
    REQUIRE(got.size() == 1);
    CHECK(get16(got[0].bytes, 54) == 0x0101);
    CHECK(checksum_fault(got[0].bytes) == "");
    CHECK(bed.drops(Reason::kPolicyReject) == 3);
    CHECK(bed.take("b").empty());
  }
}

TEST_CASE("at most a thousand answers a second") {
  Bed bed;
  bed.index("a", {{}}, {{rule("reject", Action::kReject)}});
  for (uint16_t i = 0; i < 1500; ++i) bed.send("a", udp());
  while (bed.run()) {
  }
  CHECK(bed.take("a").size() == 1000);
  CHECK(bed.drops(Reason::kPolicyReject) == 1500);
  CHECK(bed.context().pool.available() >= 192);  // all answers' frames came back
}

TEST_CASE("a frame for many is judged for each, at the sender once; nobody is told") {
  Bed bed;
  bed.add(workload("c", Mac{2, 0x68, 0x67, 0, 0, 3}));
  bed.index("b", {{rule("reject", Action::kReject)}}, {{}});
  Packet p = udp();
  p.destination = "10.9.0.255";
  p.destination_mac.fill(0xff);
  bed.send("a", p);
  bed.run();
  CHECK(bed.take("b").empty());
  CHECK(bed.take("c").size() == 1);
  CHECK(bed.take("a").empty());
  CHECK(bed.drops(Reason::kPolicyDrop, Direction::kIn) == 1);
  bed.index("a", {{}}, {{rule("drop", Action::kDrop)}});
  bed.send("a", p);
  bed.run();
  CHECK(bed.take("c").empty());
  CHECK(bed.drops(Reason::kPolicyDrop, Direction::kOut) == 1);
}

// The initiator's address has aged out of the segment, so the answer to it is flooded.
TEST_CASE("an answer whose MAC is no longer known reaches the initiator by its record") {
  Bed bed(Action::kDrop);
  bed.add(workload("c"));
  const RuleChange allow = rule("allow", Action::kAllow);
  bed.index("c", {{}}, {{allow}});
  bed.index("b", {{allow}}, {{}});
  Packet p = tcp_packet(kSyn);
  p.source_mac = {2, 5, 5, 5, 5, 5};
  REQUIRE(bed.reached("c", p, "b") == 1);
  p.set_flags(kSyn | kAck);
  REQUIRE(bed.reached("b", p.reversed(), "c") == 1);
  p.set_flags(kAck);
  REQUIRE(bed.reached("c", p, "b") == 1);
  bed.pass(400'000);
  CHECK(bed.reached("b", p.reversed(), "c") == 1);
  CHECK(bed.take("a").empty());  // to which the flow is a new one
}

TEST_CASE("neighbour discovery and ARP are not subject to rules and leave no record") {
  Bed bed(Action::kDrop);
  bed.send("a", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"));
  bed.send("a", neighbour_discovery(135, "fe80::1", "fe80::2", "fe80::2", 1));
  bed.run();
  CHECK(bed.take("b").size() == 2);
  CHECK(bed.connections().empty());
}

TEST_CASE("fragments are judged as their flow") {
  Bed bed(Action::kDrop);
  const RuleChange allow = service("allow", Action::kAllow, kUdp, 2000);
  bed.index("a", {{}}, {{allow}});
  bed.index("b", {{allow}}, {{}});
  const auto fragment = [](uint16_t port, uint32_t offset, bool more, uint32_t id) {
    Packet p = udp(port);
    p.payload.resize(24);
    p.fragment_offset = offset, p.more = more, p.id = id;
    return p;
  };
  CHECK(bed.reached("a", fragment(2000, 32, true, 1), "b") == 0);  // held: before its first one
  CHECK(bed.reached("a", fragment(2000, 0, true, 1), "b") == 2);
  CHECK(bed.reached("a", fragment(2000, 56, false, 1), "b") == 1);
  CHECK(bed.reached("a", fragment(2001, 32, false, 3), "b") == 0);
  CHECK(bed.drops() == 0);
  CHECK(bed.reached("a", fragment(2001, 0, true, 3), "b") == 0);
  CHECK(bed.drops(Reason::kDefaultDrop) == 2);
  CHECK(bed.connections().size() == 2);
}

TEST_CASE("an echo rule lets nothing else through, neither another message nor a request the other way") {
  Bed bed(Action::kDrop);
  RuleChange echo = rule("echo", Action::kAllow);
  echo.services = std::vector<ServiceMatch>{{kIcmp, 8, -1, {}, {}}};
  bed.index("a", {{}}, {{echo}});
  bed.index("b", {{echo}}, {{}});
  Packet p;
  p.protocol = kIcmp;
  p.icmp_id = 0x0501;
  CHECK(bed.reached("a", p, "b") == 1);
  CHECK(bed.reached("b", p.reversed(), "a") == 1);
  Packet redirect = p;
  redirect.icmp_type = 5, redirect.icmp_code = 1;  // the identifier as type and code
  CHECK(bed.reached("a", redirect, "b") == 0);
  CHECK(bed.reached("b", redirect.reversed(), "a") == 0);
  Packet request = p.reversed();
  request.icmp_type = 8;
  CHECK(bed.reached("b", request, "a") == 0);
}

TEST_CASE("rule logs: a burst, then a limited rate that says what it left out") {
  Bed bed;
  RuleChange logged = rule("logged", Action::kAllow);
  logged.log = true;
  bed.index("a", {{}}, {{logged}});
  const auto begin = [&](uint16_t first, uint16_t count) {
    for (uint16_t i = 0; i < count; ++i) bed.send("a", udp(2000, static_cast<uint16_t>(first + i)));
    while (bed.run()) {
    }
    bed.take("b");
    return bed.context().log.drain();
  };
  auto lines = begin(1, 50);
  REQUIRE(lines.size() == 20);
  CHECK(lines[0].flow.source_port == 1);
  CHECK(lines[0].action == Action::kAllow);
  CHECK(lines[0].direction == Direction::kOut);
  CHECK(lines[0].suppressed == 0);
  CHECK_FALSE(lines[0].observe);
  bed.pass(100);
  lines = begin(100, 3);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].suppressed == 30);
  bed.pass(100);
  lines = begin(200, 1);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].suppressed == 2);
  CHECK(begin(1, 1).empty());  // a known flow: nothing was judged
}

TEST_CASE("hit counters survive every edit of their entry") {
  Bed bed;
  Delta d;
  d.set_scopes = {{"s", "1", {"a"}}};
  d.set_rules = {rule("one", Action::kAllow), rule("two", Action::kAllow)};
  d.set_entries = {{"e", "1", "one", 3, 10, false, true, "s"}};
  bed.publish(d);
  const auto packets = [&] {
    uint64_t sum = 0;
    bed.context().hits.walk(0, UINT32_MAX, [&](const Hit& hit) {
      if (hit.entry && bed.publisher().entry_id(hit.entry) == "e" && hit.direction == Direction::kOut)
        sum += hit.packets;
    });
    return sum;
  };
  uint64_t sent = 0;
  const auto edit = [&](const std::function<void(Delta&, EntryChange&)>& change) {
    Delta next;
    next.set_entries = d.set_entries;
    change(next, next.set_entries[0]);
    d.set_entries = next.set_entries;
    bed.publish(next);
    CHECK(bed.reached("a", udp(), "b") == 1);
    CHECK(bed.reached("a", udp(2000, static_cast<uint16_t>(3000 + sent)), "b") == 1);
    sent += 2;
    CHECK(packets() == sent);
  };
  edit([](Delta&, EntryChange&) {});
  edit([](Delta&, EntryChange& e) { e.rule = "two"; });
  edit([](Delta&, EntryChange& e) { e.order = 5, e.category = 0; });
  edit([](Delta&, EntryChange& e) { e.in = true; });
  edit([](Delta& d, EntryChange& e) { d.set_scopes = {{"t", "1", {"a", "b"}}}, e.scope = "t"; });
  edit([](Delta& d, EntryChange&) { d.set_rules = {rule("two", Action::kAllow)}, d.set_rules[0].log = true; });
  edit([](Delta& d, EntryChange&) { d.edit_scopes = {{"t", "2", {}, {"b"}}}; });
  Delta gone;
  gone.remove_entries = {"e"};
  bed.publish(gone);
  gone = {};
  gone.set_entries = d.set_entries;
  bed.publish(gone);
  CHECK(packets() == 0);  // another entry of the same name
}

TEST_CASE("reevaluate: an edit is felt by the next frame of a live connection, both ways") {
  Bed bed;
  open(bed);
  bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 0);
  CHECK(bed.reached("b", tcp_packet(kAck).reversed(), "a") == 0);
  CHECK(bed.drops(Reason::kPolicyDrop, Direction::kIn) == 2);
  CHECK(bed.take("a").empty());
  bed.index("b", {{}}, {{}});
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 1);
  CHECK(bed.connections()[0].tcp.state == TcpState::kEstablished);
}

TEST_CASE("keep: a live connection goes on under a rule that would no longer let it begin") {
  Bed bed(Action::kDrop);
  RuleChange keep = rule("keep", Action::kAllow);
  keep.on_change = OnChange::kKeep;
  bed.index("a", {{}}, {{keep}});
  bed.index("b", {{keep}}, {{}});
  open(bed);
  for (const char* name : {"a", "b"}) bed.index(name, {{}}, {{}});
  Delta delta;
  delta.remove_rules = {"keep"};
  bed.publish(delta);
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 1);
  CHECK(bed.reached("b", tcp_packet(kAck).reversed(), "a") == 1);
  CHECK(bed.reached("a", tcp_packet(kSyn, 1001), "b") == 0);
  for (const char* name : {"a", "b"}) bed.index(name, {{rule("drop", Action::kDrop)}}, {{rule("drop", Action::kDrop)}});
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 1);
}

TEST_CASE("reset: an edit that forbids a live connection ends it at both ends") {
  Bed bed(Action::kDrop);
  RuleChange reset = rule("reset", Action::kAllow);
  reset.on_change = OnChange::kReset;
  bed.index("a", {{}}, {{reset}});
  bed.index("b", {{reset}}, {{}});
  open(bed);
  bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
  bed.pass(10);
  Packet data = tcp_packet(kAck);
  data.sequence = 500, data.acknowledgement = 900;
  bed.send("a", data);
  bed.run();
  const auto at_a = bed.take("a"), at_b = bed.take("b");
  REQUIRE(at_a.size() == 1);
  REQUIRE(at_b.size() == 1);
  CHECK(at_a[0].bytes[47] == kRst);
  CHECK(get16(at_a[0].bytes, 40) == 900);
  CHECK(at_b[0].bytes[47] == (kRst | kAck));
  CHECK(get16(at_b[0].bytes, 40) == 500);
  CHECK(bed.drops(Reason::kConnectionReset) == 1);
  // Nothing of it passes any more, also if the rule comes back; a new connection is judged anew.
  bed.index("b", {{reset}}, {{}});
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 1);  // the reset in its place
  CHECK(bed.drops(Reason::kConnectionReset) == 2);
  bed.pass(10);
  bed.take("a");
  open(bed);
  CHECK(bed.connections().size() == 1);
}

TEST_CASE("reset does not end what stays allowed") {
  Bed bed(Action::kDrop);
  RuleChange reset = rule("reset", Action::kAllow);
  reset.on_change = OnChange::kReset;
  bed.index("a", {{}}, {{reset}});
  bed.index("b", {{reset}}, {{}});
  open(bed);
  bed.index("b", {{rule("allow", Action::kAllow)}}, {{}});
  CHECK(bed.reached("a", tcp_packet(kAck), "b") == 1);
}

TEST_CASE("TCP states follow the frames that are let through") {
  Bed bed;
  const auto state = [&] { return std::string(state_of(bed.connections().at(0))); };
  bed.reached("a", tcp_packet(kSyn), "b");
  CHECK(state() == "syn-sent");
  bed.reached("a", tcp_packet(kSyn), "b");
  CHECK(state() == "syn-sent");
  bed.reached("b", tcp_packet(kSyn | kAck).reversed(), "a");
  CHECK(state() == "syn-received");
  bed.reached("b", tcp_packet(kSyn | kAck).reversed(), "a");
  CHECK(state() == "syn-received");
  bed.reached("a", tcp_packet(kAck), "b");
  CHECK(state() == "established");
  bed.reached("a", tcp_packet(kFin | kAck), "b");
  CHECK(state() == "fin-wait");
  bed.reached("b", tcp_packet(kAck).reversed(), "a");
  CHECK(state() == "fin-wait");
  bed.reached("b", tcp_packet(kFin | kAck).reversed(), "a");
  CHECK(state() == "last-ack");
  Packet last = tcp_packet(kAck);
  last.sequence = last.acknowledgement = 2;
  bed.reached("b", last.reversed(), "a");
  bed.reached("a", last, "b");
  CHECK(state() == "time-wait");
  bed.reached("a", tcp_packet(kSyn), "b");  // the same ports again
  CHECK(bed.connections().size() == 1);
  CHECK(state() == "syn-sent");
  bed.reached("b", tcp_packet(kRst | kAck).reversed(), "a");
  CHECK(state() == "reset");
}

TEST_CASE("TCP picked up in the middle counts as established when both sides were heard") {
  Bed bed;
  bed.reached("a", tcp_packet(kAck), "b");
  CHECK(bed.connections()[0].timeout_class() == TimeoutClass::kTcpOpening);
  bed.reached("a", tcp_packet(kAck), "b");
  CHECK(bed.connections()[0].timeout_class() == TimeoutClass::kTcpOpening);
  bed.reached("b", tcp_packet(kAck).reversed(), "a");
  CHECK(bed.connections()[0].timeout_class() == TimeoutClass::kTcpEstablished);
}

TEST_CASE("UDP, ICMP and other protocols are one-way until they are answered") {
  for (auto [protocol, one, two] : {std::tuple{uint8_t{kUdp}, TimeoutClass::kUdpOneWay, TimeoutClass::kUdpTwoWay},
                                    {uint8_t{kIcmp}, TimeoutClass::kIcmpOneWay, TimeoutClass::kIcmpTwoWay},
                                    {uint8_t{47}, TimeoutClass::kOtherOneWay, TimeoutClass::kOtherTwoWay}}) {
    Bed bed;
    Packet p;
    p.protocol = protocol;
    bed.reached("a", p, "b");
    bed.reached("a", p, "b");
    CHECK(bed.connections()[0].timeout_class() == one);
    bed.reached("b", p.reversed(), "a");
    CHECK(bed.connections()[0].timeout_class() == two);
    bed.reached("a", p, "b");
    CHECK(bed.connections()[0].timeout_class() == two);
  }
}

TEST_CASE("a full table refuses new flows with a reason and keeps the established ones") {
  Bed bed(Action::kAllow, 4);
  for (uint16_t i = 0; i < 4; ++i) open(bed, static_cast<uint16_t>(1000 + i));
  bed.pass(1);
  for (uint16_t i = 0; i < 10; ++i)
    CHECK(bed.reached("a", tcp_packet(kSyn, static_cast<uint16_t>(2000 + i)), "b") == 0);
  CHECK(bed.drops(Reason::kConnectionsFull) == 10);
  for (uint16_t i = 0; i < 4; ++i) CHECK(bed.reached("a", tcp_packet(kAck, static_cast<uint16_t>(1000 + i)), "b") == 1);
}

TEST_CASE("segments with one tracker share their records, others do not") {
  for (bool shared : {true, false}) {
    Bed bed;
    Delta delta;
    delta.set_segments.push_back({"other", "1", 0, 0, shared ? "lan" : "other"});
    bed.publish(delta);
    bed.add(workload("c", Mac{2, 0, 0, 0, 0, 3}, {}, "other"));
    bed.add(workload("d", Mac{2, 0, 0, 0, 0, 4}, {}, "other"));
    bed.reached("a", udp(), "b");
    Packet p = udp();
    p.source_mac = {2, 0, 0, 0, 0, 3}, p.destination_mac = {2, 0, 0, 0, 0, 4};
    CHECK(bed.reached("c", p, "d") == 1);
    CHECK(bed.connections().size() == (shared ? 1 : 2));
  }
}

// The same flow at other workloads is judged there: a verdict is of the place where it was reached.
TEST_CASE("a shared record gives no workload another's verdict") {
  Bed bed;
  Delta delta;
  delta.set_segments.push_back({"other", "1", 0, 0, "lan"});
  bed.publish(delta);
  bed.add(workload("c", Mac{2, 0, 0, 0, 0, 3}, {}, "other"));
  bed.add(workload("d", Mac{2, 0, 0, 0, 0, 4}, {}, "other"));
  bed.index("d", {{rule("drop", Action::kDrop)}}, {{}});
  Packet p = udp();
  p.source_mac = {2, 0, 0, 0, 0, 3}, p.destination_mac = {2, 0, 0, 0, 0, 4};
  for (int i = 0; i < 3; ++i) {
    CHECK(bed.reached("a", udp(), "b") == 1);
    CHECK(bed.reached("c", p, "d") == 0);
  }
}

}  // namespace
}  // namespace headgate::test
