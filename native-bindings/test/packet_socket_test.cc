// What only packet-socket ports do: opening interfaces, spreading flows over queues, VLAN tags, joining
// datagrams.
//
//   FarEnd <-> hgfar <-> veth pair between two namespaces <-> hgport <-> PacketSocketPort
#include "ports/packet_socket.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "ports/namespaces.h"
#include "test/kernel.h"

namespace headgate::test {
namespace {

struct Pair : VethPair {
  std::unique_ptr<PacketSocketPort> open(const PacketSocketSpec& spec, std::string& error) const {
    std::unique_ptr<PacketSocketPort> port;
    run_in_namespace(
        here.path(), [&] { port = open_packet_socket(spec, error); }, error);
    return port;
  }
  std::unique_ptr<PacketSocketPort> open(uint16_t queues = 1) const {
    std::string error;
    auto port = open({.device = "hgport", .queues = queues}, error);
    REQUIRE_MESSAGE(port, error);
    return port;
  }
};

TEST_CASE("an interface that does not exist is an error with its remedy") {
  const Pair pair;
  std::string error;
  CHECK(pair.open({.device = "hgnone"}, error) == nullptr);
  CHECK(error.find("Interface hgnone cannot be opened: ENODEV") == 0);
  CHECK(pair.open({.device = "sixteen-is-too-1"}, error) == nullptr);
  CHECK(error.find("1 to 15 characters") != std::string::npos);
}

TEST_CASE("an interface is promiscuous while its port is open") {
  const Pair pair;
  auto port = pair.open();
  pair.here.shell("ip -d link show hgport | grep -q 'promiscuity 1'");
  port.reset();
  pair.here.shell("ip -d link show hgport | grep -q 'promiscuity 0'");
}

TEST_CASE("what the host itself sends by the interface is not received") {
  const Pair pair;
  const auto port = pair.open();
  FarEnd host(pair.here, "hgport"), far(pair.there, "hgfar");
  host.send({plain_frame(60, 1), {}});
  REQUIRE(far.receive(1).size() == 1);
  far.send({plain_frame(60, 2), {}});
  const auto received = receive_from(*port, 1);
  REQUIRE(received.size() == 1);
  CHECK(received[0].bytes == plain_frame(60, 2));
}

TEST_CASE("an interface that is down takes no frames but is no failure") {
  const Pair pair;
  const auto port = pair.open();
  FarEnd far(pair.there, "hgfar");
  pair.here.shell("ip link set hgport down");
  Batch batch(1);
  batch.set(0, plain_frame(60));
  Reason outcome = Reason::kNone;
  port->transmit(0, batch.frames(), {&outcome, 1});
  CHECK(outcome == Reason::kOutputDown);
  for (int i = 0; i < 100 && polls_ready(port->descriptor(0), 0); i++) port->receive(0, batch.frames());
  CHECK_FALSE(polls_ready(port->descriptor(0), 20));
  CHECK(port->failure() == "");
  pair.here.shell("ip link set hgport up");
  pair.here.wait_ready("hgport");
  pair.there.wait_ready("hgfar");
  batch.set(0, plain_frame(60, 7));
  port->transmit(0, batch.frames(), {&outcome, 1});
  CHECK(outcome == Reason::kNone);
  const auto arrived = far.receive(1);
  REQUIRE(arrived.size() == 1);
  CHECK(arrived[0].bytes == plain_frame(60, 7));
  far.send({plain_frame(60, 8), {}});
  CHECK(receive_from(*port, 1).size() == 1);
}

TEST_CASE("a frame beyond the MTU is refused as too big") {
  const Pair pair;
  const auto port = pair.open();
  Batch batch(2);
  batch.set(0, plain_frame(1600));
  batch.set(1, plain_frame(60));
  Reason outcomes[2] = {Reason::kNone, Reason::kCount};
  port->transmit(0, batch.frames(), outcomes);
  CHECK(outcomes[0] == Reason::kOutputTooBig);
  CHECK(outcomes[1] == Reason::kNone);
}

TEST_CASE("the queues of a packet-socket port share the flows, each frame once") {
  const Pair pair;
  const auto port = pair.open(2);
  CHECK(port->capabilities().queues == 2);
  FarEnd far(pair.there, "hgfar");
  constexpr uint16_t kFlows = 64;
  for (uint16_t flow = 0; flow < kFlows; flow++) {
    const Datagram datagram{.source_port = flow, .payload = Bytes(20, 1)};
    for (int i = 0; i < 3; i++) far.send({datagram.bytes(), datagram.offload()});
  }
  std::set<uint16_t> flows[2];
  size_t frames = 0;
  Batch batch(64);
  const auto take = [&](unsigned queue) {
    const size_t count = port->receive(queue, batch.frames());
    for (size_t i = 0; i < count; i++) {
      const Bytes bytes = batch.get(i).bytes;
      if (!is_test_frame(bytes)) continue;
      flows[queue].insert(get16(bytes, 34));
      frames++;
    }
  };
  for (int round = 0; round < 200 && frames < 3 * kFlows; round++) {
    for (const unsigned queue : {0u, 1u}) {
      polls_ready(port->descriptor(queue), 5);
      take(queue);
    }
  }
  for (const unsigned queue : {0u, 1u}) take(queue);  // nothing came twice
  CHECK(frames == 3 * kFlows);
  CHECK(flows[0].size() + flows[1].size() == kFlows);
  CHECK(flows[0].size() > 0);
  CHECK(flows[1].size() > 0);
}

TEST_CASE("frames that nobody receives in time are counted") {
  const Pair pair;
  const auto port = pair.open();
  FarEnd far(pair.there, "hgfar");
  const Datagram datagram{.protocol = kTcp, .payload = numbered_payload(60000, 1)};
  constexpr size_t kCount = 2000;  // 120 MB into a buffer of 32 (64 as the kernel counts)
  for (size_t i = 0; i < kCount; i++) far.send({datagram.bytes(), datagram.super_offload(1400)});
  const uint64_t missed = port->missed();
  CHECK(missed > 0);
  CHECK(port->missed() == missed);
  CHECK(receive_from(*port, kCount - missed).size() == kCount - missed);
}

TEST_CASE("consecutive UDP datagrams leave a packet socket as super-frames, other frames between them in order") {
  const Pair pair;
  const auto port = pair.open();
  FarEnd far(pair.there, "hgfar");
  constexpr uint32_t kCount = 150;
  Batch batch(kCount);
  for (uint32_t i = 0; i < kCount; i++) {
    if (i == 10 || i == 100) {
      batch.set(i, plain_frame(60, i));
    } else {
      batch.set(i, Datagram{.payload = numbered_payload(18, i)});
    }
  }
  std::vector<Reason> outcomes(kCount, Reason::kCount);
  port->transmit(0, batch.frames(), outcomes);
  for (const Reason outcome : outcomes) CHECK(outcome == Reason::kNone);
  Bytes payloads;
  size_t plain = 0;
  // Batches of 64 frames: 0-9, 10, 11-63; 64-99, 100, 101-127; 128-149.
  const auto arrived = far.receive(7);
  REQUIRE(arrived.size() == 7);
  for (const MemoryFrame& frame : arrived) {
    if (frame.offload.kind == Offload::kNone) {
      plain++;
      continue;
    }
    CHECK(frame.offload.kind == Offload::kUdp);
    CHECK(frame.offload.segment_size == 18);
    payloads.insert(payloads.end(), frame.bytes.begin() + 42, frame.bytes.end());
  }
  CHECK(plain == 2);
  Bytes wanted;
  for (uint32_t i = 0; i < kCount; i++) {
    const Bytes payload = numbered_payload(18, i);
    if (i != 10 && i != 100) wanted.insert(wanted.end(), payload.begin(), payload.end());
  }
  CHECK(payloads == wanted);
}

}  // namespace
}  // namespace headgate::test
