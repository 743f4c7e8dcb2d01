// The far side of a segment on the packet path: which remote a frame is of, what is learned behind it, that nothing
// goes from tunnel to tunnel, whose rules count, and what becomes of frames that are too long.
//
//   [a] [b] - lan - (far: 192.0.2.2, farther: 192.0.2.3; key 7)
#include <doctest/doctest.h>

#include "packet/parse.h"
#include "packet/wire.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

const Mac kFarMac = {2, 0, 0, 0, 0, 9}, kFartherMac = {2, 0, 0, 0, 0, 8};

struct Tunnelled : Bed {
  explicit Tunnelled(Action default_action = Action::kAllow) : Bed(default_action) {
    add_remote("far", "192.0.2.2");
    add_remote("farther", "192.0.2.3");
  }
  // A frame of the remote, so that the MAC is learned behind it.
  void learn(const std::string& remote, const Mac& mac) {
    Packet p;
    p.source_mac = mac;
    p.source = "10.9.0.9";
    arrive(remote, p.bytes());
    run();
    take("b");
  }
  // Where the frames went that were sent into the tunnel since.
  std::vector<std::pair<Address, uint32_t>> sent() {
    std::vector<std::pair<Address, uint32_t>> hops;
    for (const TunnelFrame& frame : tunnel().out) hops.emplace_back(frame.hop.remote, frame.hop.key);
    tunnel().out.clear();
    return hops;
  }
};

Address address(const char* text) {
  return *parse_address(text);
}

Packet to(const Mac& mac) {
  Packet p;
  p.destination_mac = mac;
  p.destination = "10.9.0.9";
  return p;
}

TEST_CASE("frames of a remote reach workloads, and answers go back to it with its key") {
  Tunnelled bed;
  Packet p;
  p.source_mac = kFarMac;
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  REQUIRE(bed.take("b").size() == 1);
  bed.send("b", p.reversed());
  bed.run();
  CHECK(bed.sent() == std::vector{std::pair{address("192.0.2.2"), 7u}});
  CHECK(bed.drops() == 0);
}

TEST_CASE("what the tunnel has beyond one batch is taken too") {
  Tunnelled bed;
  for (int i = 0; i < 5; ++i) {
    Packet p;
    p.source_mac = kFarMac;
    bed.arrive("192.0.2.2", p.bytes());
  }
  CHECK(bed.run() == 5);
  CHECK(bed.take("b").size() == 5);
}

TEST_CASE("a broadcast goes to every remote, once each; one that comes from a remote goes to workloads alone") {
  Tunnelled bed;
  bed.send("a", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"));
  bed.run();
  CHECK(bed.take("b").size() == 1);
  auto hops = bed.sent();
  std::sort(hops.begin(), hops.end());
  CHECK(hops == std::vector{std::pair{address("192.0.2.2"), 7u}, std::pair{address("192.0.2.3"), 7u}});

  bed.arrive("192.0.2.2", arp_frame(1, kFarMac, "10.9.0.9", "10.9.0.2"));
  bed.run();
  CHECK(bed.take("a").size() == 1);
  CHECK(bed.take("b").size() == 1);
  CHECK(bed.sent().empty());
}

TEST_CASE("nothing goes from one remote to another, known or not") {
  Tunnelled bed;
  bed.learn("192.0.2.3", kFartherMac);
  Packet p = to(kFartherMac);
  p.source_mac = kFarMac;
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  CHECK(bed.sent().empty());
  CHECK(bed.drops(Reason::kSplitHorizon) == 1);
}

TEST_CASE("a remote may not use a workload's MAC, and its own move with it") {
  Tunnelled bed;
  Packet p;
  p.source_mac = kTestDestination;
  p.destination_mac = kTestSource;
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  CHECK(bed.drops(Reason::kSpoofedMac) == 1);
  bed.learn("192.0.2.2", kFarMac);
  bed.learn("192.0.2.3", kFarMac);
  bed.send("a", to(kFarMac));
  bed.run();
  CHECK(bed.sent() == std::vector{std::pair{address("192.0.2.3"), 7u}});
}

TEST_CASE("many MACs are learned behind a remote") {
  Tunnelled bed;
  for (int i = 0; i < 500; ++i)
    bed.learn("192.0.2.2", {2, 1, 0, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)});
  CHECK(bed.drops(Reason::kMacLimit) == 0);
}

TEST_CASE("another key, another peer, or a tagged inner frame is refused") {
  Tunnelled bed;
  Packet p;
  p.source_mac = kFarMac;
  bed.arrive("192.0.2.2", p.bytes(), 8);
  bed.arrive("192.0.2.9", p.bytes());
  p.vlans = {5};
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  CHECK(bed.drops(Reason::kTunnelUnknownKey) == 1);
  CHECK(bed.drops(Reason::kTunnelUnknownPeer) == 1);
  CHECK(bed.drops(Reason::kVlanNotAllowed) == 1);
  CHECK(bed.take("b").empty());
}

TEST_CASE("the receiver's rules judge what comes from a remote, the sender's what goes to it; a remote has none") {
  Tunnelled bed(Action::kDrop);
  Packet p;
  p.source_mac = kFarMac;
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  CHECK(bed.take("b").empty());
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kIn) == 1);
  bed.index("b", {{rule("in", Action::kAllow)}}, {{}});
  bed.arrive("192.0.2.2", p.bytes());
  bed.run();
  CHECK(bed.take("b").size() == 1);

  bed.learn("192.0.2.2", kFarMac);
  Packet out = to(kFarMac);
  bed.send("a", out);
  bed.run();
  CHECK(bed.sent().empty());
  CHECK(bed.drops(Reason::kDefaultDrop, Direction::kOut) == 1);
  bed.index("a", {{}}, {{rule("out", Action::kAllow)}});
  bed.send("a", out);
  bed.run();
  CHECK(bed.sent().size() == 1);
}

// The one ICMP error that reached `a`, parsed.
struct Told {
  explicit Told(Bed& bed) : pool(1), frame(*pool.acquire()) {
    const auto frames = bed.take("a");
    REQUIRE(frames.size() == 1);
    frame.length = static_cast<uint32_t>(frames[0].bytes.size());
    std::copy(frames[0].bytes.begin(), frames[0].bytes.end(), frame.data);
    REQUIRE(parse(frame) == Reason::kNone);
  }
  uint32_t mtu() const { return load32(frame.data + frame.headers.layer4_offset + 4); }
  FramePool pool;
  Frame& frame;
};

TEST_CASE("a frame that does not fit is dropped, and its sender told the MTU in the receiver's name") {
  Tunnelled bed;
  bed.learn("192.0.2.2", kFarMac);
  bed.take("a");
  Packet p = to(kFarMac);
  p.dont_fragment = true;
  p.payload.resize(1464 - 14 - 28);  // 1464: of the path
  bed.send("a", p);
  bed.run();
  CHECK(bed.sent().size() == 1);
  p.payload.resize(p.payload.size() + 1);
  bed.send("a", p);
  bed.run();
  CHECK(bed.sent().empty());
  CHECK(bed.drops(Reason::kTunnelTooBig) == 1);
  {
    Told told(bed);
    CHECK(told.frame.headers.icmp_type == 3);
    CHECK(told.frame.headers.icmp_code == 4);
    CHECK(told.mtu() == 1450);
    CHECK(told.frame.headers.source == address("10.9.0.9"));
    CHECK(told.frame.headers.destination == address("10.9.0.1"));
  }
  p.source = "fd00::1", p.destination = "fd00::9";
  p.payload.resize(1464 - 14 - 48 + 1);
  bed.send("a", p);
  bed.run();
  Told told(bed);
  CHECK(told.frame.headers.icmp_type == 2);
  CHECK(told.frame.headers.icmp_code == 0);
  CHECK(told.mtu() == 1450);
}

TEST_CASE("a super-frame is judged by its segments") {
  Tunnelled bed;
  bed.learn("192.0.2.2", kFarMac);
  bed.take("a");
  Packet p = to(kFarMac);
  p.protocol = kTcp;
  p.tcp_flags = kSyn;
  p.partial = true;
  p.payload = Bytes(30'000);
  bed.send("a", p.bytes(), p.super_offload(1464 - 54));
  bed.run();
  REQUIRE(bed.tunnel().out.size() == 1);
  CHECK(bed.tunnel().out[0].offload.segment_size == 1410);
  bed.sent();
  bed.send("a", p.bytes(), p.super_offload(1464 - 53));
  bed.run();
  CHECK(bed.sent().empty());
  CHECK(bed.drops(Reason::kTunnelTooBig) == 1);
  CHECK(Told(bed).mtu() == 1450);
}

TEST_CASE("where a segment asks for it, what does not fit goes in fragments, and the rest as ever") {
  Bed bed;
  bed.add_remote("far", "192.0.2.2", 7, true);
  Packet learned;
  learned.source_mac = kFarMac;
  learned.source = "10.9.0.9";
  bed.arrive("192.0.2.2", learned.bytes());
  bed.run();
  Packet p = to(kFarMac);
  for (size_t length : {100u, 1600u}) {
    p.payload.resize(length);
    bed.send("a", p);
    bed.run();
  }
  REQUIRE(bed.tunnel().out.size() == 2);
  CHECK_FALSE(bed.tunnel().out[0].hop.fragment);
  CHECK(bed.tunnel().out[1].hop.fragment);
  CHECK(bed.drops() == 0);
}

TEST_CASE("two places of one tunnel may not have the same remote and key") {
  Bed bed;
  bed.add_remote("far", "192.0.2.2");
  Delta delta;
  delta.set_segments.push_back({"other", "1", 0, 0, "other"});
  delta.set_workloads.push_back(workload("again", {}, {}, "other"));
  delta.set_workloads.back().remote = {"192.0.2.2", 7, false};
  bed.publish(delta);
  const auto* far = bed.publisher().find_workload("far");
  const auto attached = bed.worker().generation()->ports[(*far)->port].attached;
  CHECK(bed.publisher().bind("again", attached).code == "device-taken");
  delta.set_workloads.back().remote->address = "no address";
  CHECK(bed.publisher().apply(delta).code == "invalid-delta");
  // What is attached stays what it is.
  delta = {};
  delta.set_workloads.push_back(workload("far"));
  delta.set_workloads.back().remote = {"192.0.2.3", 7, false};
  CHECK(bed.publisher().apply(delta).code == "attached");
}

}  // namespace
}  // namespace headgate::test
