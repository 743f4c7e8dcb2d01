// Edge pairs: a frame leaves by the partner of its own ingress with the tags of the other side, and a flow is judged
// once, by the tracker, whichever bridge its frames cross by.
//
//   [one/south] --- bridges --- [one/north]        trackers "tracker:t" and "tracker:u"
//   [two/south] --- bridges --- [two/north]
#include <doctest/doctest.h>

#include "packet/wire.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint16_t kPriority = 5 << 13, kDropEligible = 1 << 12;

BridgeChange bridge(int south, int north, const std::string& tracker = "t", int south_inner = 0, int north_inner = 0) {
  return {{{south, south_inner}, {north, north_inner}}, tracker, "tracker:" + tracker};
}

WorkloadChange interface(const std::string& pair, EdgeSide side) {
  WorkloadChange change{pair + (side == EdgeSide::kSouth ? "/south" : "/north"), "1", pair, false, {}, {}};
  change.side = side;
  return change;
}

SegmentChange edge(const std::string& name, std::vector<BridgeChange> bridges) {
  return {name, "1", 0, 0, "", std::move(bridges)};
}

struct EdgeBed : Bed {
  explicit EdgeBed(std::vector<BridgeChange> one = {bridge(101, 201), bridge(0, 0, "u")},
                   std::vector<BridgeChange> two = {bridge(102, 202)},
                   const PortCapabilities& can = {true, true, true, 1})
      : Bed(1024u) {
    Delta delta;
    delta.default_action = Action::kDrop;
    for (const char* tracker : {"tracker:t", "tracker:u"})
      delta.set_workloads.push_back({tracker, "1", "", false, {}, {}});
    delta.set_segments = {edge("one", std::move(one)), edge("two", std::move(two))};
    publish(delta);
    for (const char* pair : {"one", "two"})
      for (EdgeSide side : {EdgeSide::kSouth, EdgeSide::kNorth}) add(interface(pair, side), can);
  }

  // What comes out at `to` of a frame that goes in at `from`, where nothing comes out elsewhere.
  std::vector<Bytes> through(const std::string& from, const Bytes& frame, const std::string& to,
                             const Offload& offload = {}) {
    send(from, frame, offload);
    run();
    std::vector<Bytes> got;
    for (const char* name : {"one/south", "one/north", "two/south", "two/north"})
      for (const MemoryFrame& out : take(name)) {
        CHECK(name == to);
        got.push_back(out.bytes);
      }
    return got;
  }
  std::vector<Bytes> through(const std::string& from, const Packet& p, const std::string& to) {
    return through(from, p.bytes(), to, p.offload());
  }
};

Packet tagged(std::vector<uint16_t> vlans, Packet p = {}) {
  p.vlans = std::move(vlans);
  return p;
}

void allow_all(EdgeBed& bed) {
  const auto allow = rule("allow", Action::kAllow);
  for (const char* tracker : {"tracker:t", "tracker:u"}) bed.index(tracker, {{allow}}, {{allow}});
}

TEST_CASE("tags are those of the other side; priority and drop eligibility stay with the tag") {
  EdgeBed bed({bridge(101, 201), bridge(0, 9), bridge(7, 0), bridge(20, 30, "t", 21, 31), bridge(40, 41, "t", 42),
               bridge(50, 51, "t", 0, 52)});
  allow_all(bed);
  struct Case {
    std::vector<uint16_t> in, out;
  };
  const Case cases[] = {
      {{101}, {201}},
      {{kPriority | 101}, {kPriority | 201}},
      {{kPriority | kDropEligible | 101}, {kPriority | kDropEligible | 201}},
      {{}, {9}},
      {{kPriority}, {kPriority | 9}},  // without an id: untagged
      {{7}, {}},
      {{kPriority | 7}, {}},
      {{kPriority | 20, kDropEligible | 21}, {kPriority | 30, kDropEligible | 31}},
      {{kPriority | 40, 42}, {kPriority | 41}},
  };
  for (const Case& one : cases)
    for (const char* source : {"10.9.0.1", "fd00::1"}) {
      Packet p;
      p.source = source;
      if (p.ipv6()) p.destination = "fd00::2";
      const auto got = bed.through("one/south", tagged(one.in, p), "one/north");
      REQUIRE(got.size() == 1);
      Bytes expected = tagged(one.out, p).bytes();
      // The outer tag of two is a customer's where it was one alone.
      if (one.in.size() == 2 && one.out.size() == 1) put16(expected, 12, 0x88a8);
      CHECK(got[0] == expected);
    }
  const auto inner = bed.through("one/south", tagged({50}), "one/north");
  REQUIRE(inner.size() == 1);
  Bytes expected = tagged({51, 52}).bytes();
  put16(expected, 12, 0x8100);
  CHECK(inner[0] == expected);
  CHECK(bed.drops() == 0);
}

TEST_CASE("super-frames with checksums to be made cross with other tags, and are cut where the port cannot take them") {
  const std::vector<BridgeChange> bridges = {bridge(101, 201), bridge(0, 9), bridge(7, 0), bridge(20, 30, "t", 21, 31)};
  const std::pair<std::vector<uint16_t>, std::vector<uint16_t>> cases[] = {
      {{101}, {201}}, {{}, {9}}, {{7}, {}}, {{20, 21}, {30, 31}}};
  for (bool offloads : {true, false}) {
    EdgeBed bed(bridges, {bridge(102, 202)}, {offloads, offloads, offloads, 1});
    allow_all(bed);
    for (uint8_t protocol : {kTcp, kUdp})
      for (const auto& [in, out] : cases) {
        Packet p = tagged(in);
        p.protocol = protocol;
        p.payload = numbered_payload(5000, 4);
        p.partial = true;
        bed.send("one/south", p.bytes(), p.super_offload(1000));
        bed.run();
        const auto got = bed.take("one/north");
        REQUIRE(got.size() == (offloads ? 1 : 5));
        const Packet expected = tagged(out, p);
        Bytes payload;
        for (const MemoryFrame& frame : got) {
          CHECK(std::equal(frame.bytes.begin(), frame.bytes.begin() + static_cast<long>(expected.layer3()),
                           expected.bytes().begin()));
          if (!offloads) CHECK(checksum_fault(frame.bytes) == "");
          const size_t header = expected.layer4() + expected.transport_header();
          payload.insert(payload.end(), frame.bytes.begin() + static_cast<long>(header), frame.bytes.end());
        }
        CHECK(payload == p.payload);
        if (!offloads) continue;
        CHECK(got[0].bytes == expected.bytes());
        CHECK(got[0].offload.checksum_start == expected.layer4());
        CHECK(got[0].offload.header_length == expected.layer4() + expected.transport_header());
      }
    CHECK(bed.context().pool.available() >= 192);
  }
}

TEST_CASE("a flow is judged once, by its direction, whichever bridge its frames cross by") {
  EdgeBed bed;
  bed.index("tracker:t", {{}}, {{rule("out", Action::kAllow)}});
  const Packet there = tagged({101});
  Packet back = there.reversed();
  back.vlans = {202};
  CHECK(bed.through("two/north", back, "").empty());  // north begins none
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kIn) == 1);
  bed.pass(10'000);
  bed.run();
  CHECK(bed.through("one/south", there, "one/north").size() == 1);
  for (int i = 0; i < 3; ++i) {
    const auto got = bed.through("two/north", back, "two/south");
    REQUIRE(got.size() == 1);
    CHECK(got[0] == tagged({102}, back).bytes());
  }
  Packet again = there;
  again.vlans = {102};
  CHECK(bed.through("two/south", again, "two/north").size() == 1);
  REQUIRE(bed.connections().size() == 1);
  const Hit* hit = bed.hit("out", "tracker:t", Direction::kOut);
  REQUIRE(hit);
  CHECK(hit->flows == 1);
  CHECK(hit->packets == 5);
  // An edit is asked of the flow as it began, whichever way the next frame runs.
  bed.index("tracker:t", {{rule("out", Action::kAllow)}}, {{}});
  CHECK(bed.through("two/north", back, "").empty());
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kOut) == 1);
}

TEST_CASE("the same flow in both directions, through a router behind the edge, is judged by both") {
  EdgeBed bed;
  bed.index("tracker:t", {{}}, {{rule("out", Action::kAllow)}});
  CHECK(bed.through("one/south", tagged({101}), "one/north").size() == 1);
  CHECK(bed.through("two/north", tagged({202}), "").empty());
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kIn) == 1);
  bed.index("tracker:t", {{rule("in", Action::kAllow)}}, {{rule("out", Action::kAllow)}});
  CHECK(bed.through("two/north", tagged({202}), "two/south").size() == 1);
  CHECK(bed.through("two/south", tagged({102}, Packet{}.reversed()), "two/north").size() == 1);
  CHECK(bed.through("one/north", tagged({201}, Packet{}.reversed()), "one/south").size() == 1);
  CHECK(bed.connections().size() == 1);
}

TEST_CASE("the same addresses and ports under two trackers are two flows") {
  EdgeBed bed;
  bed.index("tracker:u", {{}}, {{rule("out", Action::kAllow)}});
  CHECK(bed.through("one/south", tagged({}), "one/north").size() == 1);
  CHECK(bed.through("one/south", tagged({101}), "").empty());
  CHECK(bed.through("one/north", tagged({201}, Packet{}.reversed()), "").empty());
  CHECK(bed.through("one/north", tagged({}, Packet{}.reversed()), "one/south").size() == 1);
  CHECK(bed.connections().size() == 2);
}

TEST_CASE("ARP and neighbour discovery cross unjudged, from anybody; other protocols end here") {
  EdgeBed bed;
  const Mac anybody{0x02, 9, 9, 9, 9, 9};
  const Bytes arp = arp_frame(1, anybody, "10.1.2.3", "10.1.2.4");
  CHECK(bed.through("one/south", arp, "one/north").size() == 1);
  CHECK(bed.through("one/north", arp, "one/south").size() == 1);
  Packet nd = neighbour_discovery(136, "fd00::9", "fd00::8", "fd00::9");
  CHECK(bed.through("one/south", nd, "one/north").size() == 1);
  const Bytes other = plain_frame(60);
  CHECK(bed.through("one/south", other, "").empty());
  CHECK(bed.drops(Reason::kEthertypeUnsupported) == 1);
  CHECK(bed.counters("one/south").drops[static_cast<size_t>(Reason::kEthertypeUnsupported)] == 1);
  Packet reserved;
  reserved.destination_mac = {0x01, 0x80, 0xc2, 0, 0, 0x0e};
  CHECK(bed.through("one/south", reserved, "").empty());
  CHECK(bed.drops(Reason::kMacReserved) == 1);
}

TEST_CASE("tags without a bridge, and a partner that is not there") {
  EdgeBed bed;
  allow_all(bed);
  for (const auto& vlans : std::vector<std::vector<uint16_t>>{{201}, {1}, {101, 1}, {1, 101}})
    CHECK(bed.through("one/south", tagged(vlans), "").empty());
  CHECK(bed.drops(Reason::kVlanUnmapped) == 4);
  CHECK(bed.counters("one/south").drops[static_cast<size_t>(Reason::kVlanUnmapped)] == 4);
  bed.detach("one/north");
  CHECK_NOTHROW(bed.send("one/south", tagged({101})));
  bed.run();
  CHECK(bed.drops(Reason::kOutputDetached) == 1);
  Delta delta;
  delta.remove_workloads = {"one/north"};
  bed.publish(delta);
  bed.send("one/south", tagged({101}));
  bed.run();
  CHECK(bed.drops(Reason::kNoMember) == 1);
}

TEST_CASE("a rejected flow is answered where it came in, with the tag that it came with") {
  EdgeBed bed({bridge(101, 201)}, {bridge(102, 202)});
  auto reject = rule("reject", Action::kReject);
  bed.index("tracker:t", {{reject}}, {{reject}});
  Packet syn = tagged({101});
  syn.protocol = kTcp;
  syn.tcp_flags = kSyn;
  const auto got = bed.through("one/south", syn, "one/south");
  REQUIRE(got.size() == 1);
  CHECK(load16(got[0].data() + 12) == 0x8100);
  CHECK(load16(got[0].data() + 14) == 101);
  CHECK(checksum_fault(got[0]) == "");
  CHECK(got[0].size() == 14 + 4 + 20 + 20);
}

TEST_CASE("an ended connection's two ends are told with the tags of their sides") {
  EdgeBed bed({bridge(101, 201)}, {bridge(102, 202)});
  auto ended = rule("ended", Action::kAllow);
  ended.on_change = OnChange::kReset;
  bed.index("tracker:t", {{}}, {{ended}});
  Packet p = tagged({101});
  p.protocol = kTcp;
  p.tcp_flags = kSyn;
  CHECK(bed.through("one/south", p, "one/north").size() == 1);
  Packet answer = p.reversed();
  answer.vlans = {201};
  answer.tcp_flags = kSyn | kAck;
  answer.acknowledgement = p.sequence + 1;
  CHECK(bed.through("one/north", answer, "one/south").size() == 1);
  bed.index("tracker:t", {{}}, {{}});
  p.tcp_flags = kAck;
  bed.send("one/south", p);
  bed.run();
  const auto south = bed.take("one/south"), north = bed.take("one/north");
  REQUIRE(south.size() == 1);
  REQUIRE(north.size() == 1);
  CHECK(load16(south[0].bytes.data() + 14) == 101);
  CHECK(load16(north[0].bytes.data() + 14) == 201);
}

TEST_CASE("fragments of one datagram may cross by different bridges; those of two trackers, or both ways, stay apart") {
  EdgeBed bed;
  allow_all(bed);
  Packet first;
  first.id = 77, first.fragment = true, first.more = true;
  first.payload = Bytes(24, 1);
  Packet later = first;
  later.more = false, later.fragment_offset = 32, later.payload = Bytes(8, 2);
  CHECK(bed.through("two/south", tagged({102}, later), "").empty());               // it waits
  CHECK(bed.through("one/south", tagged({}, first), "one/north").size() == 1);     // of the other tracker
  CHECK(bed.through("one/north", tagged({201}, first), "one/south").size() == 1);  // the other way
  CHECK(bed.take("two/north").empty());
  bed.send("one/south", tagged({101}, first));
  bed.run();
  CHECK(bed.take("one/north").size() == 1);
  const auto held = bed.take("two/north");
  REQUIRE(held.size() == 1);
  CHECK(held[0].bytes == tagged({202}, later).bytes());
}

TEST_CASE("what crosses is on the tracker's account, and held to its limits") {
  EdgeBed bed;
  allow_all(bed);
  Delta delta;
  delta.set_workloads.push_back({"tracker:t", "2", "", false, {}, {}, {2, 0, 0}});
  bed.publish(delta);
  for (uint16_t port = 1; port <= 4; ++port) {
    Packet p = tagged({101});
    p.source_port = port;
    bed.send("one/south", p);
    bed.run();
  }
  CHECK(bed.take("one/north").size() == 2);
  CHECK(bed.drops(Reason::kConnectionsQuota) == 2);
  CHECK(bed.counters("tracker:t").drops[static_cast<size_t>(Reason::kConnectionsQuota)] == 2);
}

TEST_CASE("deltas about edge pairs that do not fit are refused") {
  EdgeBed bed;
  const auto says = [&](const auto& change) {
    Delta delta;
    change(delta);
    return bed.publisher().apply(delta).message;
  };
  const auto has = [&](const std::string& text, const auto& change) {
    const std::string said = says(change);
    INFO(said);
    CHECK(said.find(text) != std::string::npos);
  };
  has("two bridges with VLAN 5", [](Delta& d) { d.set_segments = {edge("one", {bridge(5, 1), bridge(5, 2)})}; });
  has("two bridges with VLAN 0", [](Delta& d) { d.set_segments = {edge("one", {bridge(5, 0), bridge(6, 0)})}; });
  has("VLAN out of range", [](Delta& d) { d.set_segments = {edge("one", {bridge(4095, 1)})}; });
  has("VLAN out of range", [](Delta& d) { d.set_segments = {edge("one", {bridge(0, 1, "t", 3)})}; });
  has("which does not exist", [](Delta& d) { d.set_segments = {edge("one", {bridge(1, 1, "nobody")})}; });
  has("which does not exist", [](Delta& d) {
    BridgeChange b = bridge(1, 1);
    b.judge = "one/south";
    d.set_segments = {edge("one", {b})};
  });
  has("tracker or bridges", [](Delta& d) {
    d.set_segments = {edge("one", {bridge(1, 1)})};
    d.set_segments[0].tracker = "t";
  });
  has("another kind of switch", [](Delta& d) { d.set_segments = {{"one", "2", 0, 0, "t"}}; });
  has("cannot be removed: edge pair 'one'", [](Delta& d) { d.remove_workloads = {"tracker:u"}; });
  has("which the same change removes", [](Delta& d) {
    d.set_segments = {edge("one", {bridge(1, 1, "u")})};
    d.remove_workloads = {"tracker:u"};
  });
  has("cannot become a tracker", [](Delta& d) { d.set_workloads = {{"one/south", "2", "", false, {}, {}}}; });
  has("cannot become a tracker", [](Delta& d) { d.set_workloads = {workload("tracker:t", {}, {}, "one")}; });
  has("needs a side", [](Delta& d) { d.set_workloads = {workload("x", {}, {}, "one")}; });
  has("has the side of", [](Delta& d) {
    d.set_workloads = {interface("one", EdgeSide::kSouth)};
    d.set_workloads[0].name = "x";
  });
  has("no edge pair", [](Delta& d) {
    d.set_segments = {{"lan", "1", 0, 0, "lan"}};
    d.set_workloads = {interface("lan", EdgeSide::kSouth)};
  });
  has("neither MAC nor addresses", [](Delta& d) {
    d.set_workloads = {interface("one", EdgeSide::kSouth)};
    d.set_workloads[0].mac = "02:00:00:00:00:01";
  });
  has("neither port nor addresses", [](Delta& d) {
    d.set_workloads = {{"tracker:t", "2", "", false, {}, std::vector<std::string>{"10.0.0.1"}}};
  });
  // What they were before is still what counts.
  allow_all(bed);
  CHECK(bed.through("one/south", tagged({101}), "one/north").size() == 1);
  // Both go at once.
  Delta all;
  all.remove_workloads = {"one/south", "one/north", "tracker:u"};
  all.remove_segments = {"one"};
  all.set_scopes = {{"tracker:u", "2", {}}};
  const Refusal refusal = bed.publisher().apply(all);
  CHECK_MESSAGE(!refusal, refusal.message);
}

TEST_CASE("the verdicts of another crossing are kept for the connection that had its place, and no other") {
  Bed bed;
  Packet p;
  CHECK(bed.reached("a", p, "b") == 1);
  Context& ctx = bed.context();
  Crossings crossings(1024);
  Connection c = bed.connections().at(0);
  const ConnectionTable& table = ctx.connections;
  Connection* held = nullptr;
  table.walk(0, 1, [&](const Connection& one) { held = const_cast<Connection*>(&one); });
  REQUIRE(held);
  CHECK(crossings.exchange(table, *held, 0).epoch == 0);
  CHECK(crossings.kept(table, *held, 0).epoch == c.verdict[0].epoch);
  CHECK(crossings.kept(table, *held, 1).epoch == 0);
  const uint32_t created = held->created;
  held->created += 1;
  CHECK(crossings.kept(table, *held, 0).epoch == 0);
  held->created = created;
  held->source_port ^= 1;
  CHECK(crossings.kept(table, *held, 0).epoch == 0);
  held->source_port ^= 1;
  CHECK(crossings.exchange(table, *held, 0).epoch == c.verdict[0].epoch);
}

}  // namespace
}  // namespace headgate::test
