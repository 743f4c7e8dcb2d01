// The way out: VLAN tags of trunks, cutting and checksums where the port cannot, and what a port refuses.
#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

Packet large(bool v6, uint8_t protocol, size_t size) {
  Packet p;
  if (v6) p.source = "fd00::1", p.destination = "fd00::2";
  p.protocol = protocol;
  p.payload = numbered_payload(size, 4);
  p.partial = true;
  return p;
}

// "a" sends to "b", whose port can do what is given.
struct Towards : Bed {
  explicit Towards(const PortCapabilities& can, size_t capacity = 65536) : Bed(64u) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    publish(delta);
    add(workload("a", kTestSource));
    add(workload("b", kTestDestination), can, capacity);
  }
};

TEST_CASE("a port that can takes super-frames and partial checksums as they are") {
  Towards bed({true, true, true, 1});
  for (bool v6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp}) {
      const Packet p = large(v6, protocol, 5000);
      bed.send("a", p.bytes(), p.super_offload(1000));
      bed.run();
      const auto got = bed.take("b");
      REQUIRE(got.size() == 1);
      CHECK(got[0].bytes == p.bytes());
      CHECK(got[0].offload.kind == p.super_offload(1000).kind);
      CHECK(got[0].offload.segment_size == 1000);
      CHECK(got[0].offload.partial_checksum);
      CHECK(got[0].offload.checksum_start == p.layer4());
    }
}

TEST_CASE("for a port without offloads super-frames are cut and checksums completed") {
  Towards bed({false, false, false, 1});
  for (bool v6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp})
      for (size_t size : {5000, 64'000}) {
        const Packet p = large(v6, protocol, size);
        bed.send("a", p.bytes(), p.super_offload(500));
        bed.run();
        const auto got = bed.take("b");
        REQUIRE(got.size() == size / 500);
        Bytes payload;
        for (const MemoryFrame& frame : got) {
          CHECK(checksum_fault(frame.bytes) == "");
          CHECK(frame.offload.kind == Offload::kNone);
          CHECK_FALSE(frame.offload.partial_checksum);
          payload.insert(payload.end(), frame.bytes.begin() + p.layer4() + p.transport_header(), frame.bytes.end());
        }
        CHECK(payload == p.payload);
        Packet one = large(v6, protocol, 700);
        CHECK(bed.reached("a", one, "b") == 1);
      }
  Packet one = large(false, kTcp, 700);
  bed.send("a", one);
  bed.run();
  CHECK(checksum_fault(bed.take("b")[0].bytes) == "");
  CHECK(bed.context().pool.available() >= 192);  // every piece came back
}

TEST_CASE("each kind of super-frame is cut only where it has to be") {
  Towards tcp_only({true, false, true, 1}), udp_only({false, true, true, 1});
  const Packet tcp = large(false, kTcp, 3000), udp = large(false, kUdp, 3000);
  const auto count = [](Bed& bed, const Packet& p) {
    bed.send("a", p.bytes(), p.super_offload(1000));
    bed.run();
    return bed.take("b").size();
  };
  CHECK(count(tcp_only, tcp) == 1);
  CHECK(count(tcp_only, udp) == 3);
  CHECK(count(udp_only, tcp) == 3);
  CHECK(count(udp_only, udp) == 1);
}

TEST_CASE("a flooded super-frame is whole for one port and cut for another, whichever comes first") {
  for (bool first : {false, true}) {
    Bed bed(64u);
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    bed.publish(delta);
    bed.add(workload("a", kTestSource));
    const PortCapabilities all{true, true, true, 1}, none{};
    bed.add(workload("x"), first ? all : none);
    bed.add(workload("y"), first ? none : all);
    const Packet p = large(false, kTcp, 3000);
    bed.send("a", p.bytes(), p.super_offload(1000));
    bed.run();
    const auto x = bed.take("x"), y = bed.take("y");
    const auto& whole = first ? x : y;
    const auto& cut = first ? y : x;
    REQUIRE(whole.size() == 1);
    CHECK(whole[0].bytes == p.bytes());
    CHECK(whole[0].offload.partial_checksum);
    REQUIRE(cut.size() == 3);
    for (const MemoryFrame& frame : cut) CHECK(checksum_fault(frame.bytes) == "");
  }
}

// One trunk with the workloads "t10" (VLAN 10), "t20" (QinQ 20, 30) and "t0" (no tag), each with a friend in its
// segment.
struct Trunk : Bed {
  MemoryPort* trunk = nullptr;
  explicit Trunk(const PortCapabilities& can = {true, true, true, 1}) : Bed(64u) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments = {{"s10", "1", 10, 0, "s10"}, {"s20", "1", 20, 30, "s20"}, {"s0", "1", 0, 0, "s0"}};
    publish(delta);
    auto attached = std::make_shared<AttachedPort>();
    auto port = std::make_unique<MemoryPort>(can);
    trunk = port.get();
    attached->port = std::move(port);
    attached->trunk = true;
    for (const char* segment : {"10", "20", "0"}) {
      WorkloadChange change = workload(std::string("t") + segment, {}, {}, std::string("s") + segment);
      change.trunk = true;
      Delta one;
      one.set_workloads.push_back(change);
      publish(one);
      REQUIRE_FALSE(publisher().bind(change.name, attached));
      spread();
      add(workload(std::string("f") + segment, {}, {}, std::string("s") + segment));
    }
  }
};

TEST_CASE("tags of a trunk are taken off on the way in and put on on the way out") {
  Trunk bed;
  const std::pair<const char*, std::vector<uint16_t>> kinds[] = {{"f10", {10}}, {"f20", {20, 30}}, {"f0", {}}};
  for (const auto& [friendly, vlans] : kinds) {
    CAPTURE(friendly);
    Packet p;
    p.vlans = vlans;
    REQUIRE(bed.trunk->push(p.bytes()));
    bed.run();
    const auto in = bed.take(friendly);
    REQUIRE(in.size() == 1);
    CHECK(in[0].bytes == Packet{}.bytes());
    bed.send(friendly, Packet{}.reversed());
    bed.run();
    const auto out = bed.trunk->take();
    REQUIRE(out.size() == 1);
    Packet back = p.reversed();
    CHECK(out[0].bytes == back.bytes());
  }
  CHECK(bed.drops() == 0);
}

TEST_CASE("a tag that no segment of the trunk has is dropped, priority bits do not matter") {
  Trunk bed;
  for (std::vector<uint16_t> vlans : {std::vector<uint16_t>{11}, {10, 30}, {20}, {30, 20}}) {
    Packet p;
    p.vlans = vlans;
    bed.trunk->push(p.bytes());
    bed.run();
  }
  CHECK(bed.drops(Reason::kVlanUnmapped) == 4);
  Packet p;
  p.vlans = {0xe00a};
  bed.trunk->push(p.bytes());
  bed.run();
  CHECK(bed.take("f10").size() == 1);
  p.vlans = {0x6000};  // priority alone: no VLAN
  bed.trunk->push(p.bytes());
  bed.run();
  CHECK(bed.take("f0").size() == 1);
}

TEST_CASE("offloads move with the tags: whole, cut and completed") {
  const Packet p = large(false, kTcp, 3000);
  {
    Trunk bed;
    Packet tagged = p;
    tagged.vlans = {20, 30};
    bed.trunk->push(tagged.bytes(), tagged.super_offload(1000));
    bed.run();
    auto got = bed.take("f20");
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes == p.bytes());
    CHECK(got[0].offload.checksum_start == p.layer4());
    bed.send("f20", p.reversed().bytes(), p.super_offload(1000));
    bed.run();
    got = bed.trunk->take();
    REQUIRE(got.size() == 1);
    CHECK(got[0].bytes == tagged.reversed().bytes());
    CHECK(got[0].offload.checksum_start == tagged.layer4());
    CHECK(got[0].offload.header_length == tagged.layer4() + 20);
  }
  {
    Trunk bed({false, false, false, 1});
    bed.send("f20", p.bytes(), p.super_offload(1000));
    bed.run();
    const auto got = bed.trunk->take();
    REQUIRE(got.size() == 3);
    for (const MemoryFrame& frame : got) {
      CHECK(get16(frame.bytes, 12) == 0x88a8);
      CHECK(get16(frame.bytes, 14) == 20);
      CHECK(get16(frame.bytes, 18) == 30);
      CHECK(checksum_fault(frame.bytes) == "");
    }
  }
}

TEST_CASE("a frame flooded to a trunk and to others is tagged for the trunk alone") {
  Trunk bed;
  bed.add(workload("g10", {}, {}, "s10"));
  bed.send("f10", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"));
  bed.run();
  CHECK(bed.trunk->take()[0].bytes.size() == 46);
  CHECK(bed.take("g10")[0].bytes.size() == 42);
  CHECK(bed.take("f20").empty());
}

TEST_CASE("answers to a workload on a trunk carry its tags") {
  Trunk bed;
  bed.index("t20", {{}}, {{rule("reject", Action::kReject)}});
  Packet p;
  p.vlans = {20, 30};
  bed.trunk->push(p.bytes());
  bed.run();
  const auto got = bed.trunk->take();
  REQUIRE(got.size() == 1);
  CHECK(get16(got[0].bytes, 14) == 20);
  CHECK(get16(got[0].bytes, 18) == 30);
  CHECK(checksum_fault(got[0].bytes) == "");
}

TEST_CASE("what the receiver's port refuses is the receiver's drop, for the port's reason") {
  Towards bed({false, false, false, 1}, 3);
  for (int i = 0; i < 5; ++i) bed.send("a", Packet{});
  bed.run();
  CHECK(bed.drops(Reason::kOutputFull, Direction::kIn) == 2);
  CHECK(bed.counters("b").drops[static_cast<size_t>(Reason::kOutputFull)] == 2);
  CHECK(bed.counters("b").received_packets == 3);
  CHECK(bed.take("b").size() == 3);
  const Packet p = large(false, kTcp, 5000);
  bed.send("a", p.bytes(), p.super_offload(1000));  // three of five pieces have room
  bed.run();
  CHECK(bed.drops(Reason::kOutputFull) == 4);
  CHECK(bed.take("b").size() == 3);
  bed.port("b").vanish("gone");
  CHECK(bed.reached("a", Packet{}, "b") == 0);
  CHECK(bed.drops(Reason::kOutputDown, Direction::kIn) == 1);
  bed.detach("b");
  bed.send("a", Packet{});
  bed.run();
  CHECK(bed.drops(Reason::kOutputDetached, Direction::kIn) == 1);
}

TEST_CASE("more than a batch of frames for one port goes out in order") {
  Towards bed({false, false, false, 1});
  for (uint16_t i = 0; i < 300; ++i) {
    Packet p;
    p.payload = {static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    bed.send("a", p);
  }
  while (bed.run()) {
  }
  const auto got = bed.take("b");
  REQUIRE(got.size() == 300);
  for (uint16_t i = 0; i < 300; ++i) REQUIRE(get16(got[i].bytes, 42) == i);
}

}  // namespace
}  // namespace headgate::test
