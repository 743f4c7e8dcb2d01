// A tunnel's sender and receiver: what goes in at one end comes out at the other, super-frames as super-frames, in few
// messages that the kernel can cut; and the same through sockets and namespaces.
//
//   [here: hgport 192.0.2.1, fd00::1] ==veth== [there: hgfar 192.0.2.2, fd00::2]
#include "ports/tunnel.h"

#include <doctest/doctest.h>

#include <functional>

#include "packet/parse.h"
#include "packet/segment.h"
#include "test/kernel.h"
#include "test/memory_underlay.h"

namespace headgate::test {
namespace {

// A frame as the forward stage leaves it.
Frame& parsed(FramePool& pool, const Bytes& bytes, const Offload& offload, const char* remote = "192.0.2.2",
              uint32_t key = 0x4200ff) {
  Frame& frame = *pool.acquire();
  frame.length = static_cast<uint32_t>(bytes.size());
  frame.offload = offload;
  std::copy(bytes.begin(), bytes.end(), frame.data);
  REQUIRE(parse(frame) == Reason::kNone);
  frame.headers.hash = 5;
  frame.hop.remote = *parse_address(remote);
  frame.hop.key = key;
  return frame;
}

Packet tcp(size_t payload, bool ipv6 = false) {
  Packet p;
  p.protocol = kTcp;
  if (ipv6) p.source = "fd00::1", p.destination = "fd00::2";
  p.dont_fragment = true;
  p.partial = true;
  p.payload.resize(payload);
  for (size_t i = 0; i < payload; ++i) p.payload[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return p;
}

std::vector<MemoryFrame> receive_all(MemoryUnderlay& underlay, const std::vector<OuterMessage>& messages) {
  for (const OuterMessage& m : messages)
    underlay.receiver->take(m.bytes.data(), static_cast<uint32_t>(m.bytes.size()), m.segment,
                            *parse_address("192.0.2.1"));
  FramePool pool(4);
  std::vector<Frame*> frames;
  for (int i = 0; i < 4; ++i) frames.push_back(pool.acquire());
  std::vector<MemoryFrame> all;
  while (underlay.receiver->has_more()) {
    const size_t count = underlay.receiver->receive(frames, 1464);
    REQUIRE(count > 0);
    for (size_t i = 0; i < count; ++i) {
      CHECK(frames[i]->hop.refused == Reason::kNone);
      CHECK(frames[i]->hop.key == 0x4200ff);
      all.push_back({{frames[i]->data, frames[i]->data + frames[i]->length}, frames[i]->offload});
    }
  }
  return all;
}

TEST_CASE("a super-frame goes out cut, in messages that the kernel can cut, and comes in whole") {
  for (const Encapsulation* encapsulation : encapsulations())
    for (bool ipv6 : {false, true}) {
      CAPTURE(encapsulation->name);
      MemoryUnderlay underlay(*encapsulation);
      FramePool pool(1);
      const Packet p = tcp(45 * 1398, ipv6);
      Frame* frame = &parsed(pool, p.bytes(), p.super_offload(1398));
      Reason outcome = Reason::kOutputDown;
      underlay.sent().clear();
      underlay.sender->transmit({&frame, 1}, {&outcome, 1});
      CHECK(outcome == Reason::kNone);
      const auto sent = underlay.sent();
      const bool udp = underlay.spec.carrier() == Carrier::kUdp;
      CHECK(sent.size() == (udp ? 2 : 45));  // 64 KiB of outer packet
      size_t bytes = 0;
      for (const OuterMessage& m : sent) {
        bytes += m.bytes.size();
        CHECK(m.bytes.size() <= 65535 - 48);
        if (m.bytes.size() > 2000) CHECK(m.segment == underlay.own.length + p.layer4() + 20 + 1398);
      }
      CHECK(bytes == 45 * (underlay.own.length + p.layer4() + 20 + 1398));
      const auto received = receive_all(underlay, sent);
      REQUIRE(received.size() == 1);
      CHECK(received[0].bytes == p.bytes());
      CHECK(received[0].offload.segment_size == 1398);
    }
}

TEST_CASE("small frames of one length share a message; another length, remote or sender begins one") {
  MemoryUnderlay underlay(kVxlan);
  FramePool pool(7);
  Packet p;
  p.payload.resize(58);
  std::vector<Frame*> frames;
  for (int i = 0; i < 4; ++i) frames.push_back(&parsed(pool, p.bytes(), {}));
  p.payload.resize(20);
  frames.push_back(&parsed(pool, p.bytes(), {}));  // shorter: the last of its message
  frames.push_back(&parsed(pool, p.bytes(), {}, "192.0.2.3"));
  frames.push_back(&parsed(pool, p.bytes(), {}));
  std::vector<Reason> outcomes(frames.size());
  underlay.sent().clear();
  underlay.sender->transmit(frames, outcomes);
  auto sent = underlay.sent();
  REQUIRE(sent.size() == 3);
  CHECK(sent[0].segment == 108);
  CHECK(sent[0].bytes.size() == 4 * 108 + 70);
  CHECK(sent[1].bytes.size() == 70);
  CHECK(sent[1].to.v4.sin_addr.s_addr == htonl(0xc0000203));
  CHECK(sent[1].to.v4.sin_port == htons(4789));
  frames[1]->headers.hash = 6;
  underlay.sent().clear();
  underlay.sender->transmit(std::span(frames).first(3), outcomes);
  CHECK(underlay.sent().size() == 2);
}

TEST_CASE("many super-frames in one call: none is lost, whatever the room for messages") {
  for (const Encapsulation* encapsulation : {&kVxlan, &kGre}) {
    MemoryUnderlay underlay(*encapsulation);
    FramePool pool(64);
    std::vector<Frame*> frames;
    size_t segments = 0;
    for (int i = 0; i < 64; ++i) {
      const Packet p = tcp(static_cast<size_t>(20'000 + 613 * i));
      frames.push_back(&parsed(pool, p.bytes(), p.super_offload(static_cast<uint16_t>(400 + i))));
      frames.back()->headers.hash = static_cast<uint64_t>(i);
      segments += frames.back()->headers.wire_packets;
    }
    std::vector<Reason> outcomes(frames.size(), Reason::kOutputDown);
    underlay.sent().clear();
    underlay.sender->transmit(frames, outcomes);
    CHECK(std::count(outcomes.begin(), outcomes.end(), Reason::kNone) == 64);
    size_t sent = 0;
    for (const OuterMessage& m : underlay.sent()) sent += m.segment ? (m.bytes.size() + m.segment - 1) / m.segment : 1;
    CHECK(sent == segments);
    size_t payload = 0;
    for (const MemoryFrame& part : receive_all(underlay, underlay.sent())) payload += part.bytes.size() - 54;
    CHECK(payload == 64 * 20'000 + 613 * (63 * 64 / 2));
  }
}

struct Underlay : VethPair {
  Underlay() {
    here.shell("sysctl -qw net.ipv6.conf.hgport.disable_ipv6=0");
    there.shell("sysctl -qw net.ipv6.conf.hgfar.disable_ipv6=0");
    here.shell("ip address add 192.0.2.1/24 dev hgport && ip address add fd00::1/64 dev hgport nodad");
    there.shell("ip address add 192.0.2.2/24 dev hgfar && ip address add fd00::2/64 dev hgfar nodad");
    here.shell("ip link set hgport address 02:00:00:00:00:01");
    there.shell("ip link set hgfar address 02:00:00:00:00:02");
    here.wait_ready("hgport");
    there.wait_ready("hgfar");
  }
  std::unique_ptr<TunnelPort> open(const Encapsulation& encapsulation, bool first, bool ipv6, uint16_t queues = 1) {
    TunnelSpec spec;
    spec.name = "t";
    spec.encapsulation = &encapsulation;
    spec.netns = (first ? here : there).path();
    if (encapsulation.carrier == Carrier::kEthernet) spec.device = first ? "hgport" : "hgfar";
    spec.local = *parse_address(ipv6 ? (first ? "fd00::1" : "fd00::2") : (first ? "192.0.2.1" : "192.0.2.2"));
    spec.queues = queues;
    std::string error;
    auto port = open_tunnel(spec, error);
    REQUIRE_MESSAGE(port, error);
    return port;
  }
};

TEST_CASE("frames pass between the sockets of two namespaces, by every encapsulation") {
  Underlay underlay;
  for (const Encapsulation* encapsulation : encapsulations())
    for (bool ipv6 : {false, true}) {
      CAPTURE(encapsulation->name);
      const bool ethernet = encapsulation->carrier == Carrier::kEthernet;
      auto one = underlay.open(*encapsulation, true, ipv6), two = underlay.open(*encapsulation, false, ipv6);
      const char* remote = ethernet ? "fe80::ff:fe00:2" : ipv6 ? "fd00::2" : "192.0.2.2";
      const char* from = ethernet ? "fe80::ff:fe00:1" : ipv6 ? "fd00::1" : "192.0.2.1";
      const uint32_t header = (ethernet ? 0 : (ipv6 ? 40 : 20) + (encapsulation->carrier == Carrier::kUdp ? 8 : 0));
      CHECK(one->most_to(*parse_address(remote)) <= 1500 - header - 8);
      CHECK(one->most_to(*parse_address(remote)) >= 1500 - header - 16);
      FramePool pool(2);
      const Packet p = tcp(20 * 1300), small = [] {
        Packet small;
        small.payload = Bytes(30, 9);
        return small;
      }();
      Frame* frames[] = {&parsed(pool, p.bytes(), p.super_offload(1300), remote),
                         &parsed(pool, small.bytes(), {}, remote)};
      Reason outcomes[2];
      one->transmit(0, frames, outcomes);
      REQUIRE(outcomes[0] == Reason::kNone);
      REQUIRE(outcomes[1] == Reason::kNone);
      FramePool receiving(1);
      Frame* in = receiving.acquire();
      size_t payload = 0, others = 0;
      while (payload < p.payload.size() || !others) {
        if (!two->has_more(0)) REQUIRE(polls_ready(two->descriptor(0), 2000));
        if (!two->receive(0, {&in, 1})) continue;
        if (in->hop.refused != Reason::kNone || in->hop.key != 0x4200ff) continue;
        CHECK(in->hop.remote == *parse_address(from));
        if (in->data[23] == kTcp)
          payload += in->length - 54;
        else
          others += in->data[23] == kUdp;
      }
      CHECK(payload == p.payload.size());
    }
}

TEST_CASE("what cannot be sent has a reason, and says so for its own frames alone") {
  Underlay underlay;
  auto one = underlay.open(kVxlan, true, false);
  FramePool pool(3);
  Packet p, too_big;
  too_big.payload.resize(1600);
  Frame* frames[] = {&parsed(pool, p.bytes(), {}), &parsed(pool, too_big.bytes(), {}),
                     &parsed(pool, p.bytes(), {}, "203.0.113.1")};
  Reason outcomes[3];
  one->transmit(0, frames, outcomes);
  CHECK(outcomes[0] == Reason::kNone);
  CHECK(outcomes[1] == Reason::kOutputTooBig);
  CHECK(outcomes[2] == Reason::kOutputDown);
  CHECK(one->most_to(*parse_address("203.0.113.1")) == 0);
}

TEST_CASE("a tunnel that cannot be opened says what to do") {
  Underlay underlay;
  auto refused = [&](const std::function<void(TunnelSpec&)>& change) {
    TunnelSpec spec;
    spec.name = "t";
    spec.encapsulation = &kVxlan;
    spec.netns = underlay.here.path();
    spec.local = *parse_address("192.0.2.1");
    change(spec);
    std::string error;
    CHECK_FALSE(open_tunnel(spec, error));
    return error;
  };
  auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(refused([](TunnelSpec& s) { s.local = *parse_address("192.0.2.7"); }), "EADDRNOTAVAIL"));
  CHECK(has(refused([](TunnelSpec& s) { s.device = "nothing"; }), "ENODEV"));
  CHECK(has(refused([](TunnelSpec& s) { s.netns = "hg-no-such"; }), "ip netns add"));
  CHECK(has(refused([](TunnelSpec& s) { s.options.metadata = {1, 2, 3, 4}; }), "no options"));
  auto first = underlay.open(kVxlan, true, false);
  CHECK(has(refused([](TunnelSpec&) {}), "EADDRINUSE"));
}

}  // namespace
}  // namespace headgate::test
