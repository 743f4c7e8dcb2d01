#include "pipeline/prober.h"

#include <algorithm>
#include <string_view>

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint8_t kBroadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint16_t kFirstPort = 32768;
constexpr uint16_t kEchoIdentifier = 0x4847;
constexpr uint32_t kAnswersToRise = 2;
enum ArpOperation : uint16_t { kArpRequest = 1, kArpReply = 2 };

// Of a probe, by its number: nobody else can know them, so an answer that names them was asked for.
struct Names {
  uint16_t source_port;
  uint32_t sequence;
};

Names names_of(uint32_t number, uint64_t secret) {
  const uint64_t mixed = (secret ^ number) * 0x9e3779b97f4a7c15ull;
  return {static_cast<uint16_t>(kFirstPort + (mixed >> 40) % kFirstPort), static_cast<uint32_t>(mixed)};
}

const uint8_t* ipv4_of(const Address& a) {
  return a.bytes.data() + 12;
}

void write_mac(uint8_t* out, uint64_t number) {
  memcpy(out, &number, 6);  // as mac_number reads it
}

// Queues a frame that `build(frame)` has filled behind its Ethernet header's addresses.
template <class Build>
void send(Context& ctx, const Portal& portal, const uint8_t* to, uint16_t type, Build build) {
  const Workload& w = ctx.workload(portal.workload);
  if (w.port == kNoPort) return;
  Frame* frame = ctx.pool.acquire();
  if (!frame) return;
  memcpy(frame->data, to, 6);
  memcpy(frame->data + 6, portal.probe.mac.data(), 6);
  store16(frame->data + 12, type);
  frame->length = kEthernetHeader + build(frame->data + kEthernetHeader);
  frame->passage.key = portal.probe.key;
  const bool sound = parse(*frame) == Reason::kNone;
  if (!sound || !ctx.outputs.add_own(w.port, *frame, portal.workload)) ctx.pool.release(frame);
}

void send_arp(Context& ctx, const Portal& portal, ArpOperation operation, const uint8_t* to, const uint8_t* target) {
  send(ctx, portal, operation == kArpRequest ? kBroadcast : to, kEtherArp, [&](uint8_t* arp) {
    static constexpr uint8_t kStart[6] = {0, 1, 8, 0, 6, 4};
    memcpy(arp, kStart, 6);
    store16(arp + 6, operation);
    memcpy(arp + 8, portal.probe.mac.data(), 6);
    memcpy(arp + 14, ipv4_of(portal.probe.source), 4);
    memset(arp + 18, 0, 6);
    if (operation == kArpReply) memcpy(arp + 18, to, 6);
    memcpy(arp + 24, target, 4);
    return kArpPacket;
  });
}

// Calls fill(payload) for what is behind the IPv4 header; it returns its length.
template <class Fill>
void send_ipv4(Context& ctx, const Portal& portal, uint64_t mac, uint8_t protocol, Fill fill) {
  uint8_t to[6];
  write_mac(to, mac);
  send(ctx, portal, to, kEtherIpv4, [&](uint8_t* ip) {
    const uint32_t length = kIpv4Header + fill(ip + kIpv4Header);
    memset(ip, 0, kIpv4Header);
    ip[0] = 0x45;
    store16(ip + 2, static_cast<uint16_t>(length));
    store16(ip + 6, 0x4000);  // do not fragment
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, ipv4_of(portal.probe.source), 4);
    memcpy(ip + 16, ipv4_of(portal.probe.address), 4);
    checksum_ipv4(ip);
    return length;
  });
}

void send_echo(Context& ctx, const Portal& portal, uint64_t mac, uint32_t number) {
  send_ipv4(ctx, portal, mac, kIcmp, [&](uint8_t* icmp) {
    memset(icmp, 0, kIcmpHeader + 4);
    icmp[0] = kIcmpEcho;
    store16(icmp + 4, kEchoIdentifier);
    store16(icmp + 6, static_cast<uint16_t>(number));
    store32(icmp + 8, names_of(number, ctx.secret).sequence);
    store16(icmp + 2, checksum_finish(checksum_add(icmp, kIcmpHeader + 4)));
    return kIcmpHeader + 4;
  });
}

void send_tcp(Context& ctx, const Portal& portal, uint64_t mac, uint16_t source_port, uint32_t sequence,
              uint32_t acknowledgement, uint8_t flags, std::string_view data = {}) {
  send_ipv4(ctx, portal, mac, kTcp, [&](uint8_t* tcp) {
    const auto length = static_cast<uint32_t>(kTcpHeader + data.size());
    memset(tcp, 0, kTcpHeader);
    store16(tcp, source_port);
    store16(tcp + 2, portal.probe.port);
    store32(tcp + 4, sequence);
    store32(tcp + 8, acknowledgement);
    tcp[12] = 5 << 4;
    tcp[13] = flags;
    store16(tcp + 14, 8192);  // window: a status line fits
    std::copy(data.begin(), data.end(), tcp + kTcpHeader);
    const uint64_t pseudo =
        checksum_add(ipv4_of(portal.probe.source), 4) + checksum_add(ipv4_of(portal.probe.address), 4) + kTcp + length;
    store16(tcp + 16, checksum_finish(pseudo + checksum_add(tcp, length)));
    return length;
  });
}

void send_probe(Context& ctx, const Portal& portal, uint32_t number) {
  const uint64_t mac = portal.health->mac.load(std::memory_order_relaxed);
  // Asked for each time: what has another MAC by now is another machine, and one that is gone has none.
  send_arp(ctx, portal, kArpRequest, kBroadcast, ipv4_of(portal.probe.address));
  if (!mac) return;
  if (portal.probe.kind == ProbeKind::kIcmp) {
    send_echo(ctx, portal, mac, number);
    return;
  }
  const Names names = names_of(number, ctx.secret);
  send_tcp(ctx, portal, mac, names.source_port, names.sequence, 0, kSyn);
}

void change(PortalHealth& health, bool up, uint32_t now) {
  health.up.store(up, std::memory_order_relaxed);
  health.in_row = 0;
  health.changes.fetch_add(1, std::memory_order_relaxed);
  health.changed.store(now, std::memory_order_relaxed);
}

// What became of the last probe.
void settle(const Portal& portal, uint32_t now) {
  PortalHealth& health = *portal.health;
  const uint32_t number = health.sent.load(std::memory_order_relaxed);
  if (!number) return;
  const bool up = health.up.load(std::memory_order_relaxed);
  const bool answered = health.answered.load(std::memory_order_relaxed) == number;
  if (!answered) {
    health.failures.fetch_add(1, std::memory_order_relaxed);
    if (!health.mac.load(std::memory_order_relaxed)) health.fault.store(ProbeFault::kNoMac, std::memory_order_relaxed);
  }
  if (answered == up) {
    health.in_row = 0;
    return;
  }
  if (++health.in_row >= (up ? portal.probe.failures : kAnswersToRise)) change(health, !up, now);
}

void note_answer(const Portal& portal, uint32_t number) {
  portal.health->answered.store(number, std::memory_order_relaxed);
  portal.health->fault.store(ProbeFault::kNone, std::memory_order_relaxed);
}

bool is_good_status(std::string_view data) {
  return data.size() >= 12 && data.starts_with("HTTP/1.") && data[8] == ' ' && (data[9] == '2' || data[9] == '3');
}

void take_tcp(const Frame& frame, Context& ctx, const Portal& portal) {
  const Headers& h = frame.headers;
  const uint32_t number = portal.health->sent.load(std::memory_order_relaxed);
  const Names names = names_of(number, ctx.secret);
  if (h.source_port != portal.probe.port || h.destination_port != names.source_port) return;
  const uint8_t* tcp = frame.data + h.layer4_offset;
  const uint32_t sequence = load32(tcp + 4), acknowledged = load32(tcp + 8);
  const uint64_t mac = mac_number(frame.data + 6);
  const uint32_t length = h.layer3_offset + h.layer3_length - h.payload_offset;
  if (h.tcp_flags & kRst) {
    portal.health->fault.store(ProbeFault::kRefused, std::memory_order_relaxed);
    return;
  }
  const bool opens = (h.tcp_flags & (kSyn | kAck)) == (kSyn | kAck) && acknowledged == names.sequence + 1;
  if (opens && portal.probe.kind == ProbeKind::kTcp) {
    note_answer(portal, number);
    send_tcp(ctx, portal, mac, names.source_port, acknowledged, 0, kRst);
  } else if (opens) {
    char request[512];
    const int size = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %u.%u.%u.%u\r\n\r\n",
                              portal.probe.path.c_str(), portal.probe.address.bytes[12], portal.probe.address.bytes[13],
                              portal.probe.address.bytes[14], portal.probe.address.bytes[15]);
    send_tcp(ctx, portal, mac, names.source_port, acknowledged, sequence + 1, kAck | kPsh,
             {request, static_cast<size_t>(size)});
  } else if (length && portal.probe.kind == ProbeKind::kHttp) {
    const auto* data = reinterpret_cast<const char*>(frame.data + h.payload_offset);
    if (is_good_status({data, length}))
      note_answer(portal, number);
    else if (portal.health->answered.load(std::memory_order_relaxed) != number)
      portal.health->fault.store(ProbeFault::kBadStatus, std::memory_order_relaxed);
    send_tcp(ctx, portal, mac, names.source_port, acknowledged, 0, kRst);
  }
}

void take_echo(const Frame& frame, const Context& ctx, const Portal& portal) {
  const Headers& h = frame.headers;
  const uint8_t* icmp = frame.data + h.layer4_offset;
  const uint32_t length = h.layer3_offset + h.layer3_length - h.layer4_offset;
  const uint32_t number = portal.health->sent.load(std::memory_order_relaxed);
  if (h.icmp_type != kIcmpEchoReply || length < kIcmpHeader + 4) return;
  if (load32(icmp + 8) == names_of(number, ctx.secret).sequence) note_answer(portal, number);
}

void take_arp(const Frame& frame, Context& ctx, const Portal& portal) {
  const uint8_t* arp = frame.data + frame.headers.layer3_offset;
  if (load16(arp + 6) == kArpRequest) {
    send_arp(ctx, portal, kArpReply, arp + 8, arp + 14);
    return;
  }
  if (memcmp(arp + 14, ipv4_of(portal.probe.address), 4) == 0)
    portal.health->mac.store(mac_number(arp + 8), std::memory_order_relaxed);
}

}  // namespace

bool Prober::run(Context& ctx) {
  const Services* services = ctx.generation->services.get();
  if (!services || static_cast<int32_t>(ctx.now - due_) < 0) return false;
  due_ = ctx.now + 1000;
  bool sent = false;
  for (const auto& portal : services->portals) {
    if (!portal || portal->probe.kind == ProbeKind::kNone) continue;
    PortalHealth& health = *portal->health;
    if (!health.begun || static_cast<int32_t>(ctx.now - health.due) >= 0) {
      health.begun = true;
      settle(*portal, ctx.now);
      const uint32_t number = health.sent.load(std::memory_order_relaxed) + 1;
      health.sent.store(number, std::memory_order_relaxed);
      health.fault.store(ProbeFault::kNoAnswer, std::memory_order_relaxed);
      send_probe(ctx, *portal, number);
      health.due = ctx.now + portal->probe.interval;
      sent = true;
    }
    if (static_cast<int32_t>(health.due - due_) < 0) due_ = health.due;
  }
  return sent;
}

uint32_t Prober::wait(const Context& ctx, uint32_t most) const {
  if (!ctx.generation->services) return most;
  const auto left = static_cast<int32_t>(due_ - ctx.now);
  return left <= 0 ? 0 : std::min(most, static_cast<uint32_t>(left));
}

bool answers_probe(const Frame& frame, Context& ctx, uint32_t key) {
  const Services& services = *ctx.generation->services;
  const Headers& h = frame.headers;
  for (uint16_t place : services.portals_of.at(frame.source_workload)) {
    const Portal& portal = *services.portals[place];
    const Probe& probe = portal.probe;
    if (probe.kind == ProbeKind::kNone || key != probe.key || h.destination != probe.source) continue;
    const bool own = same_mac(frame.data, probe.mac.data());
    if (h.layer3 == Layer3::kArp && (own || is_group(frame.data)))
      take_arp(frame, ctx, portal);
    else if (!own || h.source != probe.address || !h.layer4_offset || h.fragment)
      continue;
    else if (h.protocol == kIcmp && probe.kind == ProbeKind::kIcmp)
      take_echo(frame, ctx, portal);
    else if (h.protocol == kTcp && probe.kind != ProbeKind::kIcmp)
      take_tcp(frame, ctx, portal);
    return true;
  }
  return false;
}

}  // namespace headgate
