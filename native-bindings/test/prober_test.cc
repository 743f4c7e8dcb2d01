// Health checks of service portals: a portal on a memory port that answers as a test has it.
#include <doctest/doctest.h>

#include <functional>

#include "packet/wire.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

const Mac kAsks = {0x02, 0, 0, 0, 0, 0x99};
const Mac kPortal = {0x02, 0, 0, 0, 0, 0x01};

struct Probed : Bed {
  explicit Probed(ProbeKind kind) : Bed(1024u) {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments = {{"services", "1", 0, 0, "services"}};
    WorkloadChange change = workload("fw", {}, {}, "services");
    change.trunk = true;
    delta.set_workloads = {change};
    PortalChange portal{"fw", "1", "fw"};
    portal.health = {kind, "192.0.2.1", "192.0.2.9", "02:00:00:00:00:99", "/health", 80, 0, 200, 3};
    if (kind == ProbeKind::kIcmp) portal.health.port = 0;
    delta.set_portals = {portal};
    publish(delta);
    auto memory = std::make_unique<MemoryPort>();
    port_ = memory.get();
    attach("fw", std::move(memory), true);
  }
  PortalHealth& health() { return *worker().generation()->services->portals[0]->health; }
  bool up() { return health().up; }

  // An interval of the check; the portal does with each frame what `answer` says.
  void round(const std::function<void(const Bytes&)>& answer) {
    pass(200);
    run();
    for (int step = 0; step < 6; ++step) {
      const auto frames = port_->take();
      if (frames.empty()) break;
      for (const auto& frame : frames) answer(frame.bytes);
      run();
    }
  }
  void push(const Bytes& bytes) { REQUIRE(port_->push(bytes)); }
  void answer_arp(const Bytes& asked) {
    if (get16(asked, 12) == kEtherArp && get16(asked, 20) == 1)
      push(arp_frame(2, kPortal, "192.0.2.1", "192.0.2.9", kAsks));
  }

  MemoryPort* port_ = nullptr;
};

bool is_ip(const Bytes& b, uint8_t protocol) {
  return get16(b, 12) == kEtherIpv4 && b[23] == protocol;
}

Packet from_portal(uint8_t protocol) {
  Packet p;
  p.source_mac = kPortal;
  p.destination_mac = kAsks;
  p.source = "192.0.2.1";
  p.destination = "192.0.2.9";
  p.protocol = protocol;
  return p;
}

uint32_t get32(const Bytes& b, size_t at) {
  return uint32_t{get16(b, at)} << 16 | get16(b, at + 2);
}

// Swaps ends and makes an answer of an echo.
void echo(Probed& bed, const Bytes& asked) {
  bed.answer_arp(asked);
  if (!is_ip(asked, kIcmp)) return;
  CHECK(checksum_fault(asked).empty());
  Packet p = from_portal(kIcmp);
  p.icmp_type = 0;
  p.icmp_id = get16(asked, 38);
  p.payload.assign(asked.begin() + 42, asked.end());
  Bytes answer = p.bytes();
  put16(answer, 40, get16(asked, 40));  // sequence: into the checksum too
  put16(answer, 36, 0);
  put16(answer, 36, static_cast<uint16_t>(~fold(sum_words(answer, 34, answer.size()))));
  bed.push(answer);
}

// A server: shakes hands, and answers a request with a status line.
void serve(Probed& bed, const Bytes& asked, const std::string& status) {
  bed.answer_arp(asked);
  if (!is_ip(asked, kTcp)) return;
  CHECK(checksum_fault(asked).empty());
  const uint8_t flags = asked[47];
  Packet p = from_portal(kTcp);
  p.source_port = 80;
  p.destination_port = get16(asked, 34);
  p.payload = {};
  if (flags == kSyn) {
    p.tcp_flags = kSyn | kAck;
    p.sequence = 7000;
    p.acknowledgement = get32(asked, 38) + 1;
    bed.push(p.bytes());
  } else if (asked.size() > 54 && !status.empty()) {
    CHECK(std::string(asked.begin() + 54, asked.end()) == "GET /health HTTP/1.0\r\nHost: 192.0.2.1\r\n\r\n");
    p.sequence = get32(asked, 42);
    p.acknowledgement = get32(asked, 38) + static_cast<uint32_t>(asked.size() - 54);
    p.payload.assign(status.begin(), status.end());
    bed.push(p.bytes());
  }
}

// Rounds until it is so, at most `most`.
int rounds_until(Probed& bed, bool up, int most, const std::function<void(const Bytes&)>& answer) {
  for (int i = 0; i <= most; ++i) {
    if (bed.up() == up) return i;
    bed.round(answer);
  }
  return most + 1;
}

TEST_CASE("probe: ICMP, a portal that dies is down after three intervals, and up after two answers") {
  Probed bed(ProbeKind::kIcmp);
  const auto alive = [&](const Bytes& asked) { echo(bed, asked); };
  const auto dead = [](const Bytes&) {};
  for (int i = 0; i < 5; ++i) bed.round(alive);
  CHECK(bed.up());
  CHECK(bed.health().answered == bed.health().sent);
  const int fell = rounds_until(bed, false, 10, dead);
  CHECK(fell >= 3);
  CHECK(fell <= 4);  // 800 ms
  CHECK(rounds_until(bed, true, 10, alive) <= 3);
  CHECK(bed.health().changes == 2);
}

TEST_CASE("probe: TCP wants a handshake, HTTP a good status") {
  SUBCASE("tcp") {
    Probed bed(ProbeKind::kTcp);
    const auto server = [&](const Bytes& asked) { serve(bed, asked, ""); };
    for (int i = 0; i < 6; ++i) bed.round(server);
    CHECK(bed.up());
    CHECK(bed.health().failures <= 2);  // before its MAC was known
  }
  SUBCASE("http") {
    Probed bed(ProbeKind::kHttp);
    const auto good = [&](const Bytes& asked) { serve(bed, asked, "HTTP/1.1 204 No Content\r\n\r\n"); };
    for (int i = 0; i < 6; ++i) bed.round(good);
    CHECK(bed.up());
    for (const std::string& status : {std::string("HTTP/1.1 503 Busy\r\n\r\n"), std::string("HTTP/1."),
                                      std::string("SSH-2.0-x\r\n1234"), std::string()}) {
      const auto bad = [&](const Bytes& asked) { serve(bed, asked, status); };
      CHECK_MESSAGE(rounds_until(bed, false, 6, bad) <= 5, status);
      CHECK(rounds_until(bed, true, 6, good) <= 4);
    }
  }
}

TEST_CASE("probe: answers that nobody asked for count for nothing") {
  Probed bed(ProbeKind::kIcmp);
  const auto liar = [&](const Bytes& asked) {
    bed.answer_arp(asked);
    if (!is_ip(asked, kIcmp)) return;
    Packet p = from_portal(kIcmp);
    p.icmp_type = 0;
    p.payload = Bytes(12, 0);
    bed.push(p.bytes());
  };
  CHECK(rounds_until(bed, false, 8, liar) <= 6);
}

TEST_CASE("probe: the asking address answers ARP, and only the port's own network hears of it") {
  Probed bed(ProbeKind::kIcmp);
  bed.push(arp_frame(1, kPortal, "192.0.2.1", "192.0.2.9"));
  bed.run();
  bool answered = false;
  for (const auto& frame : bed.port_->take())
    answered |= get16(frame.bytes, 12) == kEtherArp && get16(frame.bytes, 20) == 2;
  CHECK(answered);
  bed.push(arp_frame(1, kPortal, "192.0.2.1", "192.0.2.8"));
  bed.run();
  CHECK(bed.drops(Reason::kServiceTagUnknown) == 1);
}

}  // namespace
}  // namespace headgate::test
