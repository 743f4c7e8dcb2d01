// The contract of ports/port.h, one suite run on every kind of port. Each kind has a rig: the port and what
// stands at its other end.
//
//   memory   test <-> MemoryPort
//   packet   FarEnd <-> hgfar <-> veth pair between two namespaces of its own <-> hgport <-> PacketSocketPort
//   pcap     one file -> PcapPort -> another file
//   tap      FarEnd (packet socket on the device, in a namespace of its own) <-> kernel <-> TapPort
#include <doctest/doctest.h>

#include <algorithm>

#include "ports/memory.h"
#include "ports/namespaces.h"
#include "ports/packet_socket.h"
#include "ports/pcap.h"
#include "ports/tap.h"
#include "test/files.h"
#include "test/kernel.h"

namespace headgate::test {
namespace {

struct MemoryRig {
  MemoryPort memory{{true, true, true, 1}, 1000};
  Port& port() { return memory; }
  void send(const MemoryFrame& frame) { memory.push(frame.bytes, frame.offload); }
  std::vector<MemoryFrame> arrived(size_t) { return memory.take(); }
  void vanish() { memory.vanish("test"); }
};

struct PcapRig {
  TestFiles files;
  std::unique_ptr<PcapWriter> input;
  std::unique_ptr<PcapPort> pcap;

  PcapRig() {
    std::string error;
    input = PcapWriter::open(files.path("in"), error);
    REQUIRE_MESSAGE(input, error);
  }
  // The file is read when the port is asked for.
  Port& port() {
    std::string error;
    input->flush();
    if (!pcap) pcap = open_pcap(files.path("in"), files.path("out"), error);
    REQUIRE_MESSAGE(pcap, error);
    return *pcap;
  }
  void send(const MemoryFrame& frame) { REQUIRE(input->write(0, frame.bytes)); }
  std::vector<MemoryFrame> arrived(size_t) {
    std::string error;
    REQUIRE(pcap->flush());
    const auto frames = read_pcap(files.path("out"), error);
    REQUIRE_MESSAGE(frames, error);
    std::vector<MemoryFrame> all;
    for (const PcapFrame& frame : *frames) all.push_back({frame.bytes, {}});
    return all;
  }
};

struct TapRig {
  TestNamespace space;
  std::unique_ptr<TapPort> tap;
  std::unique_ptr<FarEnd> far;

  TapRig() {
    std::string error;
    tap = open_tap({.netns = space.path(), .device = "hgtap"}, error);
    REQUIRE_MESSAGE(tap, error);
    far = std::make_unique<FarEnd>(space, "hgtap");
  }
  Port& port() { return *tap; }
  void send(const MemoryFrame& frame) { far->send(frame); }
  std::vector<MemoryFrame> arrived(size_t count) { return far->receive(count); }
  void vanish() { space.shell("ip link del hgtap"); }
};

struct PacketRig {
  VethPair pair;
  std::unique_ptr<PacketSocketPort> packet;
  std::unique_ptr<FarEnd> far;

  PacketRig() {
    std::string error;
    run_in_namespace(
        pair.here.path(), [&] { packet = open_packet_socket({.device = "hgport"}, error); }, error);
    REQUIRE_MESSAGE(packet, error);
    far = std::make_unique<FarEnd>(pair.there, "hgfar");
  }
  Port& port() { return *packet; }
  void send(const MemoryFrame& frame) { far->send(frame); }
  std::vector<MemoryFrame> arrived(size_t count) { return far->receive(count); }
  void vanish() { pair.there.shell("ip link del hgfar"); }
};

std::vector<Reason> transmit(Port& port, const Batch& batch) {
  std::vector<Reason> outcomes(batch.frames().size(), Reason::kCount);
  port.transmit(0, batch.frames(), outcomes);
  return outcomes;
}

#define ALL_RIGS MemoryRig, PcapRig, TapRig, PacketRig
#define RIGS_THAT_VANISH MemoryRig, TapRig, PacketRig
#define RIGS_WITH_OFFLOAD MemoryRig, TapRig, PacketRig

const Bytes kFrames[] = {plain_frame(60, 1), plain_frame(61, 2), plain_frame(1514, 3), plain_frame(64, 4, 1),
                         plain_frame(68, 5, 2)};

TEST_CASE_TEMPLATE("frames are received unchanged and in order", Rig, ALL_RIGS) {
  Rig rig;
  for (const Bytes& bytes : kFrames) rig.send({bytes, {}});
  const auto received = receive_from(rig.port(), std::size(kFrames));
  REQUIRE(received.size() == std::size(kFrames));
  for (size_t i = 0; i < received.size(); i++) {
    CHECK(received[i].bytes == kFrames[i]);
    CHECK(received[i].offload.kind == Offload::kNone);
    CHECK_FALSE(received[i].offload.partial_checksum);
  }
}

TEST_CASE_TEMPLATE("transmitted frames arrive unchanged and in order, and are left unchanged", Rig, ALL_RIGS) {
  Rig rig;
  Batch batch(std::size(kFrames));
  for (size_t i = 0; i < std::size(kFrames); i++) batch.set(i, kFrames[i]);
  for (const Reason outcome : transmit(rig.port(), batch)) CHECK(outcome == Reason::kNone);
  const auto arrived = rig.arrived(std::size(kFrames));
  REQUIRE(arrived.size() == std::size(kFrames));
  for (size_t i = 0; i < arrived.size(); i++) {
    CHECK(arrived[i].bytes == kFrames[i]);
    CHECK(batch.get(i).bytes == kFrames[i]);
  }
}

TEST_CASE_TEMPLATE("a port does not receive what it sends", Rig, ALL_RIGS) {
  Rig rig;
  Batch batch(1);
  batch.set(0, plain_frame(60));
  CHECK(transmit(rig.port(), batch)[0] == Reason::kNone);
  CHECK(rig.arrived(1).size() == 1);
  bool heard = false;
  for (int i = 0; i < 1000 && rig.port().receive(0, batch.frames()) > 0; i++) {
    heard = heard || is_test_frame(batch.get(0).bytes);
  }
  CHECK_FALSE(heard);
}

TEST_CASE_TEMPLATE("receive returns at once when nothing waits", Rig, ALL_RIGS) {
  Rig rig;
  Batch batch(4);
  size_t got = 1;
  for (int i = 0; i < 1000 && got != 0; i++) got = rig.port().receive(0, batch.frames());  // the kernel's own frames
  CHECK(got == 0);
  CHECK(rig.port().failure() == "");
}

TEST_CASE_TEMPLATE("frames beyond the span wait for the next receive", Rig, ALL_RIGS) {
  Rig rig;
  constexpr uint32_t kCount = 200;
  for (uint32_t i = 0; i < kCount; i++) rig.send({plain_frame(100, i), {}});
  const auto received = receive_from(rig.port(), kCount, 7);
  REQUIRE(received.size() == kCount);
  for (uint32_t i = 0; i < kCount; i++) CHECK(received[i].bytes == plain_frame(100, i));
}

TEST_CASE_TEMPLATE("a batch beyond the queue: what is said to be sent arrives, and nothing else", Rig, ALL_RIGS) {
  Rig rig;
  constexpr uint32_t kCount = 3000;
  Batch batch(kCount);
  for (uint32_t i = 0; i < kCount; i++) batch.set(i, plain_frame(80, i));
  const auto outcomes = transmit(rig.port(), batch);
  std::vector<Bytes> sent;
  for (uint32_t i = 0; i < kCount; i++) {
    if (outcomes[i] == Reason::kNone)
      sent.push_back(plain_frame(80, i));
    else
      CHECK(outcomes[i] == Reason::kOutputFull);
  }
  CHECK(sent.size() >= 100);
  const auto arrived = rig.arrived(sent.size());
  REQUIRE(arrived.size() == sent.size());
  for (size_t i = 0; i < sent.size(); i++) CHECK(arrived[i].bytes == sent[i]);
}

std::vector<std::pair<Datagram, uint16_t>> super_frames() {
  std::vector<std::pair<Datagram, uint16_t>> all;
  for (const bool ipv6 : {false, true}) {
    Datagram tcp{.ipv6 = ipv6, .protocol = kTcp, .payload = numbered_payload(60000, 3)};
    Datagram udp{.ipv6 = ipv6, .payload = numbered_payload(20000, 4)};
    Datagram tagged{.ipv6 = ipv6, .protocol = kTcp, .tags = 1, .payload = numbered_payload(30000, 5)};
    all.emplace_back(tcp, 1400);
    all.emplace_back(udp, 1000);
    all.emplace_back(tagged, 1300);
  }
  return all;
}

void check_super(const MemoryFrame& frame, const Datagram& datagram, uint16_t segment_size) {
  const Offload wanted = datagram.super_offload(segment_size);
  CHECK(frame.bytes == datagram.bytes());
  CHECK(frame.offload.kind == wanted.kind);
  CHECK(frame.offload.segment_size == segment_size);
  CHECK(frame.offload.partial_checksum);
  CHECK(frame.offload.checksum_start == wanted.checksum_start);
  CHECK(frame.offload.checksum_offset == wanted.checksum_offset);
}

TEST_CASE_TEMPLATE("super-frames are received whole with their offload", Rig, RIGS_WITH_OFFLOAD) {
  Rig rig;
  REQUIRE(rig.port().capabilities().tcp_segmentation);
  REQUIRE(rig.port().capabilities().udp_segmentation);
  for (const auto& [datagram, segment_size] : super_frames()) {
    rig.send({datagram.bytes(), datagram.super_offload(segment_size)});
    const auto received = receive_from(rig.port(), 1);
    REQUIRE(received.size() == 1);
    check_super(received[0], datagram, segment_size);
  }
}

TEST_CASE_TEMPLATE("super-frames are transmitted whole with their offload", Rig, RIGS_WITH_OFFLOAD) {
  Rig rig;
  for (const auto& [datagram, segment_size] : super_frames()) {
    Batch batch(1);
    batch.set(0, datagram.bytes(), datagram.super_offload(segment_size));
    CHECK(transmit(rig.port(), batch)[0] == Reason::kNone);
    const auto arrived = rig.arrived(1);
    REQUIRE(arrived.size() == 1);
    check_super(arrived[0], datagram, segment_size);
  }
}

TEST_CASE_TEMPLATE("the descriptor is readable while frames wait, and only then", Rig, RIGS_WITH_OFFLOAD) {
  Rig rig;
  const int descriptor = rig.port().descriptor(0);
  Batch batch(64);
  while (polls_ready(descriptor, 50)) rig.port().receive(0, batch.frames());
  rig.send({plain_frame(60, 1), {}});
  CHECK(polls_ready(descriptor, 2000));
  CHECK(receive_from(rig.port(), 1).size() == 1);
  bool quiet = false;
  for (int i = 0; i < 100 && !quiet; i++) {
    quiet = !polls_ready(descriptor, 20);
    if (!quiet) rig.port().receive(0, batch.frames());
  }
  CHECK(quiet);
}

TEST_CASE_TEMPLATE("a vanished device is a failure in words, not a crash or a busy loop", Rig, RIGS_THAT_VANISH) {
  Rig rig;
  Batch batch(3);
  for (size_t i = 0; i < 3; i++) batch.set(i, plain_frame(60, static_cast<uint32_t>(i)));
  SUBCASE("seen by receive") {
    rig.vanish();
    CHECK(rig.port().receive(0, batch.frames()) == 0);
  }
  SUBCASE("seen by transmit") {
    rig.vanish();
  }
  for (size_t i = 0; i < 3; i++) batch.set(i, plain_frame(60, static_cast<uint32_t>(i)));
  for (const Reason outcome : transmit(rig.port(), batch)) CHECK(outcome == Reason::kOutputDown);
  CHECK(rig.port().failure() != "");
  CHECK(rig.port().receive(0, batch.frames()) == 0);
  CHECK_FALSE(polls_ready(rig.port().descriptor(0), 20));
}

}  // namespace
}  // namespace headgate::test
