// What the short ways of an established frame must not skip (stages/locate.cc, advance.cc, classify.cc).
#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr Mac kThird = {2, 0x68, 0x67, 0, 0, 3};

TEST_CASE("frames of one batch go each to its own destination") {
  Bed bed;
  bed.add(workload("c", kThird));
  Packet to_b, to_c;
  to_c.destination_mac = kThird;
  for (const Packet& p : {to_b, to_c, to_c, to_b, to_c}) bed.send("a", p);
  bed.run();
  CHECK(bed.take("b").size() == 2);
  CHECK(bed.take("c").size() == 3);
}

TEST_CASE("a connection that was denied for a while has its long timeout again") {
  for (uint8_t protocol : {kUdp, kTcp}) {
    Bed bed;
    Packet p = tcp_packet(kAck);
    p.protocol = protocol;
    const TimeoutClass at_work = protocol == kTcp ? TimeoutClass::kTcpEstablished : TimeoutClass::kUdpTwoWay;
    const auto timeout_class = [&] { return bed.connections().at(0).timeout_class(); };
    bed.reached("a", p, "b");
    bed.reached("b", p.reversed(), "a");
    CHECK(timeout_class() == at_work);
    bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
    CHECK(bed.reached("a", p, "b") == 0);
    CHECK(timeout_class() == TimeoutClass::kDenied);
    bed.index("b", {{}}, {{}});
    CHECK(bed.reached("a", p, "b") == 1);
    CHECK(timeout_class() == at_work);
  }
}

TEST_CASE("a connection heard only as both sides closed it does not stay established") {
  Bed bed;
  bed.reached("a", tcp_packet(kFin | kAck), "b");
  bed.reached("b", tcp_packet(kFin | kAck).reversed(), "a");
  bed.reached("a", tcp_packet(kAck), "b");
  CHECK(bed.connections().at(0).timeout_class() == TimeoutClass::kClosing);
}

TEST_CASE("a connection that was reset is refused at the side that sends, whichever side's rule ended it") {
  Bed bed;
  RuleChange reset = rule("reset", Action::kAllow);
  reset.on_change = OnChange::kReset;
  bed.index("b", {{reset}}, {{}});
  bed.reached("a", tcp_packet(kAck), "b");
  bed.reached("b", tcp_packet(kAck).reversed(), "a");
  bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
  for (int i = 0; i < 2; ++i) {
    bed.send("a", tcp_packet(kAck));
    bed.run();
  }
  CHECK(bed.drops(Reason::kConnectionReset, Direction::kIn) == 1);   // that ended it
  CHECK(bed.drops(Reason::kConnectionReset, Direction::kOut) == 1);  // after that
}

}  // namespace
}  // namespace headgate::test
