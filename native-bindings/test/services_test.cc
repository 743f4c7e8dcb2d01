// Service tags: two tenants with the same MACs and addresses, whose frames go through portals on a trunk, and come
// back.
//
//   red-a, red-b  in segment red   --.                 .-- "fw"   trunk, portals fw, ids and log, told apart by VLANs
//   blue-a, blue-b in segment blue --+-- one worker ---+-- "alt"  trunk, portal alt
//                                    '                 '-- "up"   trunk, where a gateway's clients are
#include <doctest/doctest.h>

#include "packet/wire.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

HopChange hop(const std::string& portal, uint32_t key, bool open = false) {
  return {open, {{portal, key}}};
}

PortalChange portal(const std::string& name, const std::string& workload) {
  return {name, "1", workload};
}

ServiceTagChange tag_of(const std::string& segment, std::vector<HopChange> hops) {
  return {segment, "1", "", segment, {}, std::move(hops)};
}

Packet tagged(Packet packet, uint16_t vlan) {
  packet.vlans = {vlan};
  return packet;
}

struct Serviced : Bed {
  Serviced() : Bed(1024u) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments = {{"red", "1", 0, 0, "red"}, {"blue", "1", 0, 0, "blue"}, {"services", "1", 0, 0, "services"}};
    publish(delta);
    for (const char* segment : {"red", "blue"}) {
      add(workload(std::string(segment) + "-a", kTestSource, {}, segment));
      add(workload(std::string(segment) + "-b", kTestDestination, {}, segment));
    }
    for (const char* name : {"fw", "alt", "up"}) add_trunk(name);
    Delta portals;
    portals.set_portals = {portal("fw", "fw"), portal("ids", "fw"), portal("log", "fw"), portal("alt", "alt"),
                           portal("up", "up")};
    publish(portals);
  }
  void add_trunk(const std::string& name) {
    WorkloadChange change = workload(name, {}, {}, "services");
    change.trunk = true;
    Delta delta;
    delta.set_workloads.push_back(change);
    publish(delta);
    auto port = std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1});
    trunks_[name] = port.get();
    attach(name, std::move(port), true);
  }
  // All flows of the segment's workload "a" go through the hops.
  void insert(const std::string& segment, std::vector<HopChange> hops) {
    Delta delta;
    delta.set_tags.push_back(tag_of(segment, std::move(hops)));
    delta.set_rules.push_back(rule("any", Action::kAllow));
    delta.set_scopes.push_back({"clients-" + segment, "1", {segment + "-a"}});
    EntryChange change = entry("insert-" + segment, "any", segment == "red" ? 1 : 2, "clients-" + segment);
    change.category = kInsertions;
    change.tag = segment;
    delta.set_entries.push_back(change);
    publish(delta);
  }
  void insert_both() {
    insert("red", {hop("fw", 101)});
    insert("blue", {hop("fw", 102)});
  }
  void set_tag(ServiceTagChange change) {
    Delta delta;
    delta.set_tags.push_back(std::move(change));
    publish(delta);
  }
  MemoryPort& trunk(const std::string& name) { return *trunks_.at(name); }
  std::vector<MemoryFrame> sent_to(const std::string& name) { return trunk(name).take(); }
  void from_trunk(const std::string& name, const Bytes& bytes, const Offload& offload = {}) {
    REQUIRE(trunk(name).push(bytes, offload));
    run();
  }
  void from_trunk(const std::string& name, const Packet& packet) { from_trunk(name, packet.bytes(), packet.offload()); }
  void from(const std::string& workload, const Packet& packet) {
    send(workload, packet);
    run();
  }
  // The one frame that went to a trunk; it is checked to be the packet under the VLAN.
  void check_sent(const std::string& name, const Packet& packet, uint16_t vlan) {
    const auto frames = sent_to(name);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].bytes == tagged(packet, vlan).bytes());
  }
  PortalHealth& health(const std::string& name) {
    for (const auto& p : worker().generation()->services->portals)
      if (p && p->name == name) return *p->health;
    FAIL("no such portal");
    abort();
  }
  LegCounters leg(const std::string& tag, size_t hop) {
    for (const auto& t : worker().generation()->services->tags)
      if (t && t->name == tag) return worker().counters().legs[t->hops[hop].legs[0].place];
    return {};
  }

 private:
  std::map<std::string, MemoryPort*> trunks_;
};

TEST_CASE("service: the same packet of two tenants goes to the portal under the tag of each, and comes home") {
  Serviced bed;
  bed.insert_both();
  const Packet packet;
  for (const auto& [tenant, vlan] : {std::pair<std::string, uint16_t>{"red", 101}, {"blue", 102}}) {
    bed.from(tenant + "-a", packet);
    CHECK(bed.take(tenant + "-b").empty());
    bed.check_sent("fw", packet, vlan);
    bed.from_trunk("fw", tagged(packet, vlan));
    const auto got = bed.take(tenant + "-b");
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes == packet.bytes());
    bed.from(tenant + "-b", packet.reversed());
    bed.check_sent("fw", packet.reversed(), vlan);
    bed.from_trunk("fw", tagged(packet.reversed(), vlan));
    REQUIRE(bed.take(tenant + "-a").size() == 1);
  }
  for (const char* other : {"red-a", "red-b", "blue-a", "blue-b"}) CHECK(bed.take(other).empty());
  CHECK(bed.drops() == 0);
  const auto flows = bed.connections();
  REQUIRE(flows.size() == 2);
  for (const Connection& c : flows) {
    CHECK(c.packets(0) == 1);  // what comes back is not counted once more
    CHECK(c.packets(1) == 1);
  }
  CHECK(bed.leg("red", 0).sent_packets[0] == 1);
  CHECK(bed.leg("red", 0).returned_packets[1] == 1);
}

TEST_CASE("service: without insertion nothing goes to a portal") {
  Serviced bed;
  bed.from("red-a", Packet{});
  CHECK(bed.take("red-b").size() == 1);
  CHECK(bed.sent_to("fw").empty());
}

TEST_CASE("service: an insertion decides nothing of the firewall") {
  Serviced bed;
  bed.insert_both();
  Delta delta;
  delta.default_action = Action::kDrop;
  bed.publish(delta);
  bed.from("red-a", Packet{});
  CHECK(bed.sent_to("fw").empty());
  CHECK(bed.drops(Reason::kDefaultDrop) == 1);
}

TEST_CASE("service: an insertion that comes or goes takes live flows along") {
  Serviced bed;
  const Packet packet;
  bed.from("red-a", packet);
  CHECK(bed.take("red-b").size() == 1);
  bed.insert_both();
  bed.from("red-a", packet);
  bed.check_sent("fw", packet, 101);
  Delta delta;
  delta.remove_entries = {"insert-red"};
  delta.remove_tags = {"red"};
  bed.publish(delta);
  bed.from("red-a", packet);
  CHECK(bed.sent_to("fw").empty());
  CHECK(bed.take("red-b").size() == 1);
}

TEST_CASE("service: unknown and forged tags are counted drops") {
  Serviced bed;
  bed.insert_both();
  const Packet packet;
  bed.from("red-a", packet);
  bed.check_sent("fw", packet, 101);
  bed.from_trunk("fw", tagged(packet, 999));
  CHECK(bed.drops(Reason::kServiceTagUnknown) == 1);
  bed.from_trunk("alt", tagged(packet, 101));  // the right number from the wrong place
  CHECK(bed.drops(Reason::kServiceTagUnknown) == 2);
  bed.from_trunk("fw", packet);  // no tag, and the portal is not known to lose them
  CHECK(bed.drops(Reason::kServiceTagUnknown) == 3);
  bed.from("red-a", tagged(packet, 102));  // a tenant in the other's name
  CHECK(bed.drops(Reason::kVlanNotAllowed) == 1);
  Packet other;
  other.destination_port = 2001;
  bed.from_trunk("fw", tagged(other, 101));  // a flow that was never sent there
  CHECK(bed.drops(Reason::kServiceNoConnection) == 1);
  bed.from_trunk("fw", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"));
  for (const char* name : {"red-a", "red-b", "blue-a", "blue-b"}) CHECK(bed.take(name).empty());
}

TEST_CASE("service: what is no packet of a connection does not come back under a tag") {
  Serviced bed;
  bed.insert_both();
  Bytes arp = arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2");
  const uint8_t tag[4] = {0x81, 0, 0, 101};
  arp.insert(arp.begin() + 12, tag, tag + 4);
  bed.from_trunk("fw", arp);
  CHECK(bed.drops(Reason::kServiceNotTracked) == 1);
}

TEST_CASE("service: a chain is passed in order, and by replies in the opposite one") {
  Serviced bed;
  bed.insert("red", {hop("fw", 201), hop("ids", 202), hop("log", 203)});
  Packet packet;
  auto pass = [&](const Packet& start, const std::vector<uint16_t>& order, const std::string& to) {
    Packet now = start;
    for (uint16_t vlan : order) {
      bed.check_sent("fw", now, vlan);
      if (vlan == 202) now.payload.assign(10, static_cast<uint8_t>(now.payload[0] + 1));  // it rewrites
      bed.from_trunk("fw", tagged(now, vlan));
    }
    const auto got = bed.take(to);
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes == now.bytes());
  };
  bed.from("red-a", packet);
  pass(packet, {201, 202, 203}, "red-b");
  bed.from("red-b", packet.reversed());
  pass(packet.reversed(), {203, 202, 201}, "red-a");
  for (size_t at = 0; at < 3; ++at)
    for (int side = 0; side < 2; ++side) {
      CHECK(bed.leg("red", at).sent_packets[side] == 1);
      CHECK(bed.leg("red", at).returned_packets[side] == 1);
    }
  CHECK(bed.drops() == 0);
}

TEST_CASE("service: a portal that is down is left for its alternate, passed, or closes the way") {
  Serviced bed;
  const Packet packet;
  SUBCASE("alternate") {
    bed.insert("red", {{false, {{"fw", 101}, {"alt", 151}}}});
    bed.from("red-a", packet);
    bed.check_sent("fw", packet, 101);
    bed.health("fw").up = false;
    bed.from("red-a", packet);
    bed.check_sent("alt", packet, 151);
    bed.from_trunk("alt", tagged(packet, 151));
    CHECK(bed.take("red-b").size() == 1);
    bed.health("fw").up = true;
    bed.from("red-a", packet);
    bed.check_sent("fw", packet, 101);
  }
  SUBCASE("detached counts as down") {
    bed.insert("red", {{false, {{"fw", 101}, {"alt", 151}}}});
    bed.detach("fw");
    bed.from("red-a", packet);
    bed.check_sent("alt", packet, 151);
  }
  SUBCASE("open") {
    bed.insert("red", {hop("fw", 101, true)});
    bed.health("fw").up = false;
    bed.from("red-a", packet);
    CHECK(bed.sent_to("fw").empty());
    CHECK(bed.take("red-b").size() == 1);
    CHECK(bed.leg("red", 0).bypassed == 1);
  }
  SUBCASE("open, at the end of a chain") {
    bed.insert("red", {hop("fw", 201), hop("ids", 202, true)});
    bed.health("ids").up = false;
    bed.from("red-a", packet);
    bed.check_sent("fw", packet, 201);
    bed.from_trunk("fw", tagged(packet, 201));
    CHECK(bed.take("red-b").size() == 1);
    bed.from("red-b", packet.reversed());  // whose first hop is the one that is down
    bed.check_sent("fw", packet.reversed(), 201);
  }
  SUBCASE("closed") {
    bed.insert("red", {hop("fw", 101)});
    bed.health("fw").up = false;
    bed.from("red-a", packet);
    CHECK(bed.sent_to("fw").empty());
    CHECK(bed.take("red-b").empty());
    CHECK(bed.drops(Reason::kServicePortalDown) == 1);
    CHECK(bed.leg("red", 0).refused == 1);
  }
}

TEST_CASE("service: a tag is re-pointed between two frames; the other one is left alone") {
  Serviced bed;
  bed.insert_both();
  const Packet packet;
  bed.from("red-a", packet);
  bed.check_sent("fw", packet, 101);
  bed.set_tag(tag_of("red", {hop("alt", 301)}));
  bed.from("red-a", packet);
  bed.check_sent("alt", packet, 301);
  bed.from_trunk("alt", tagged(packet, 301));
  CHECK(bed.take("red-b").size() == 1);
  bed.from("blue-a", packet);
  bed.check_sent("fw", packet, 102);
  CHECK(bed.leg("blue", 0).sent_packets[0] == 1);
}

TEST_CASE("service: what lost its tag comes home by its connection, if that is the only one") {
  Serviced bed;
  Delta delta;
  PortalChange loses = portal("fw", "fw");
  loses.by_record = true;
  delta.set_portals.push_back(loses);
  bed.publish(delta);
  bed.insert_both();
  const Packet packet;
  bed.from("red-a", packet);
  bed.check_sent("fw", packet, 101);
  bed.from_trunk("fw", packet);
  CHECK(bed.take("red-b").size() == 1);
  bed.from("blue-a", packet);
  bed.check_sent("fw", packet, 102);
  bed.from_trunk("fw", packet);  // of whom?
  CHECK(bed.drops(Reason::kServiceAmbiguous) == 1);
  Packet none;
  none.source_port = 1;
  bed.from_trunk("fw", none);
  CHECK(bed.drops(Reason::kServiceNoConnection) == 1);
  CHECK(bed.take("blue-b").empty());
  CHECK(bed.take("red-b").empty());
}

TEST_CASE("service: a portal that sends round and round is stopped") {
  Serviced bed;
  bed.insert("red", {hop("fw", 201), hop("ids", 202)});
  const Packet packet;
  bed.from("red-a", packet);
  bed.check_sent("fw", packet, 201);
  size_t rounds = 0;
  // ids gives back under the tag of fw: the frame would go to ids again.
  for (; rounds < 10'000 && !bed.drops(Reason::kServiceLoop); ++rounds) {
    bed.from_trunk("fw", tagged(packet, 201));
    bed.sent_to("fw");
  }
  CHECK(bed.drops(Reason::kServiceLoop) == 1);
  CHECK(rounds < 100);
}

TEST_CASE("service: super-frames and fragments go through whole") {
  Serviced bed;
  bed.insert("red", {hop("fw", 201), hop("ids", 202)});
  Packet big;
  big.protocol = kTcp;
  big.payload = numbered_payload(20'000, 1);
  big.partial = true;
  const Offload offload = big.super_offload(1400);
  bed.send("red-a", big.bytes(), offload);
  bed.run();
  auto frames = bed.sent_to("fw");
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].offload.segment_size == 1400);
  CHECK(bed.leg("red", 0).sent_packets[0] == 15);
  Packet first;
  first.fragment = first.more = true;
  first.payload = Bytes(16, 1);
  first.id = 9;
  Packet second;
  second.fragment = true;
  second.fragment_offset = 24;
  second.payload = Bytes(8, 2);
  second.id = 9;
  bed.from("red-a", second);
  bed.from("red-a", first);
  bed.run();
  frames = bed.sent_to("fw");
  REQUIRE(frames.size() == 2);
  for (uint16_t vlan : {201, 202}) {
    bed.from_trunk("fw", tagged(first, vlan));
    bed.from_trunk("fw", tagged(second, vlan));
  }
  CHECK(bed.take("red-b").size() == 2);
  CHECK(bed.drops() == 0);
}

ServiceTagChange gateway_tag(const std::string& name, uint32_t number, std::vector<HopChange> hops) {
  return {name, "1", "client:" + name, {}, LegChange{"up", number}, std::move(hops)};
}

TEST_CASE("service: a gateway sends by tag and back by tag") {
  Serviced bed;
  bed.set_tag(gateway_tag("red", 11, {hop("fw", 101)}));
  bed.set_tag(gateway_tag("blue", 12, {hop("alt", 101)}));
  const Packet packet;
  for (const auto& [number, name] : {std::pair<uint16_t, std::string>{11, "fw"}, {12, "alt"}}) {
    bed.from_trunk("up", tagged(packet, number));
    bed.check_sent(name, packet, 101);
    bed.from_trunk(name, tagged(packet, 101));
    bed.check_sent("up", packet, number);
    bed.from_trunk("up", tagged(packet.reversed(), number));
    bed.check_sent(name, packet.reversed(), 101);
    bed.from_trunk(name, tagged(packet.reversed(), 101));
    bed.check_sent("up", packet.reversed(), number);
  }
  CHECK(bed.drops() == 0);
  CHECK(bed.connections().size() == 2);
  bed.from_trunk("up", tagged(packet, 13));
  CHECK(bed.drops(Reason::kServiceTagUnknown) == 1);
}

TEST_CASE("service: QinQ keys are two tags") {
  Serviced bed;
  bed.insert("red", {hop("fw", 10 << 12 | 101)});
  Packet packet;
  bed.from("red-a", packet);
  const auto frames = bed.sent_to("fw");
  REQUIRE(frames.size() == 1);
  Packet twice = packet;
  twice.vlans = {10, 101};
  CHECK(frames[0].bytes == twice.bytes());
  bed.from_trunk("fw", twice);
  CHECK(bed.take("red-b").size() == 1);
}

TEST_CASE("service: the publisher refuses what does not hold together") {
  Serviced bed;
  bed.insert_both();
  auto refused = [&](Delta delta, const std::string& words) {
    const Refusal refusal = bed.publisher().apply(delta);
    CHECK_MESSAGE(refusal.message.find(words) != std::string::npos, refusal.message);
  };
  Delta d;
  d.set_tags = {tag_of("red", {hop("nobody", 1)})};
  refused(d, "'nobody'");
  d.set_tags = {tag_of("red", {hop("fw", 102)})};
  refused(d, "as tag 'blue' does");
  d.set_tags = {tag_of("red", {hop("fw", 105), hop("ids", 105)})};
  refused(d, "as tag 'red' does");
  d.set_tags = {tag_of("red", {hop("fw", 0)})};
  refused(d, "without a key");
  d.set_tags = {tag_of("red", {})};
  refused(d, "no hop");
  d.set_tags = {{"red", "1", "", {}, {}, {hop("fw", 101)}}};
  refused(d, "either a segment");
  d = {};
  d.remove_portals = {"fw"};
  refused(d, "'fw'");
  d = {};
  d.remove_tags = {"red"};
  refused(d, "entry 'insert-red'");
  d = {};
  d.remove_segments = {"red"};
  refused(d, "");
  d = {};
  d.set_entries = {entry("x", "any", 7, "clients-red")};
  d.set_entries[0].tag = "red";
  refused(d, "of category 4");
  d = {};
  d.remove_workloads = {"alt"};
  refused(d, "'alt'");
}

}  // namespace
}  // namespace headgate::test
