// Switching within a segment: known, unknown and group destinations, and the limit of flooding.
#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

const Mac kThird = {2, 0x68, 0x67, 0, 0, 3};

Packet to(const Mac& mac) {
  Packet p;
  p.destination_mac = mac;
  return p;
}

struct Three : Bed {
  Three() { add(workload("c", kThird)); }
  // Who got it.
  std::string receivers(const std::string& from, const Bytes& bytes) {
    send(from, bytes);
    run();
    std::string names;
    for (const char* name : {"a", "b", "c"})
      for (size_t n = take(name).size(); n; --n) names += name;
    return names;
  }
};

TEST_CASE("a frame goes to the workload that has its destination, and to nobody else") {
  Three bed;
  CHECK(bed.receivers("a", to(kTestDestination).bytes()) == "b");
  CHECK(bed.receivers("a", to(kThird).bytes()) == "c");
}

TEST_CASE("broadcast, multicast and unknown frames go to every other workload of the segment") {
  Three bed;
  Delta delta;
  delta.set_segments.push_back({"other", "1", 0, 0, "other"});
  bed.publish(delta);
  bed.add(workload("d", {}, {}, "other"));
  for (Mac mac : {Mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Mac{1, 0, 0x5e, 0, 0, 1}, Mac{2, 9, 9, 9, 9, 9}})
    CHECK(bed.receivers("a", to(mac).bytes()) == "bc");
  CHECK(bed.receivers("a", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2")) == "bc");
  CHECK(bed.take("d").empty());
}

TEST_CASE("a MAC of another segment is unknown here") {
  Three bed;
  Delta delta;
  delta.set_segments.push_back({"other", "1", 0, 0, "other"});
  bed.publish(delta);
  bed.add(workload("d", Mac{2, 9, 9, 9, 9, 9}, {}, "other"));
  CHECK(bed.receivers("a", to({2, 9, 9, 9, 9, 9}).bytes()) == "bc");
  CHECK(bed.take("d").empty());
}

TEST_CASE("a frame does not go back where it came from") {
  Three bed;
  CHECK(bed.receivers("a", to(kTestSource).bytes()) == "");
  CHECK(bed.drops(Reason::kNoOtherPort) == 1);
}

TEST_CASE("link-local group addresses of bridges are not forwarded") {
  Three bed;
  for (uint8_t last : {0, 2, 14, 15}) CHECK(bed.receivers("a", to({1, 0x80, 0xc2, 0, 0, last}).bytes()) == "");
  CHECK(bed.drops(Reason::kMacReserved) == 4);
  CHECK(bed.receivers("a", to({1, 0x80, 0xc2, 0, 0, 16}).bytes()) == "bc");
}

TEST_CASE("alone in its segment a workload reaches nobody") {
  Bed bed(64u);
  Delta delta;
  delta.default_action = Action::kAllow;
  delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
  bed.publish(delta);
  bed.add(workload("a", kTestSource));
  bed.send("a", to(kTestDestination));
  bed.run();
  CHECK(bed.drops(Reason::kNoMember) == 1);
}

TEST_CASE("flooding is limited to a burst of four thousand and two thousand a second, per sender") {
  Three bed;
  const Bytes frame = arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2");
  const auto flood = [&](int count) {
    for (int i = 0; i < count; ++i) bed.send("a", frame);
    while (bed.run()) {
    }
    bed.take("c");
    return bed.take("b").size();
  };
  CHECK(flood(5000) == 4000);
  CHECK(bed.drops(Reason::kFloodLimited) == 1000);
  bed.pass(100);
  CHECK(flood(1000) == 200);
  CHECK(bed.receivers("a", to(kTestDestination).bytes()) == "b");  // known ones pass
  CHECK(bed.receivers("b", arp_frame(1, kTestDestination, "10.9.0.2", "10.9.0.1")) == "ac");
}

TEST_CASE("a learned workload is found where it moved, and flooded to when it is old") {
  Bed bed;
  bed.add(workload("c"));
  bed.add(workload("d"));
  Packet p;
  p.source_mac = {2, 5, 5, 5, 5, 5};
  const Packet back = to(p.source_mac);
  bed.send("c", p);
  bed.run();
  CHECK(bed.reached("a", back, "c") == 1);
  CHECK(bed.take("d").empty());
  bed.send("d", p);
  bed.run();
  CHECK(bed.reached("a", back, "d") == 1);
  CHECK(bed.take("c").empty());
  bed.pass(301'000);
  CHECK(bed.reached("a", back, "d") == 1);
  CHECK(bed.take("c").size() == 1);
}

// Another thread publishes: the table of MACs knows the new workload before this worker does.
TEST_CASE("a MAC that belongs to a workload of the next generation is unknown until then") {
  Three bed;
  const Mac next = {2, 0x68, 0x67, 0, 0, 9};
  Delta delta;
  for (int i = 0; i < 40; ++i) delta.set_workloads.push_back(workload("new" + std::to_string(i)));
  delta.set_workloads.push_back(workload("next", next));
  REQUIRE_FALSE(bed.publisher().apply(delta));
  CHECK(bed.receivers("a", to(next).bytes()) == "bc");
}

}  // namespace
}  // namespace headgate::test
