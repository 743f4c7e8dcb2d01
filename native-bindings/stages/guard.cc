// Spoofguard: who sent the frame, and may it use these addresses? (SAVI in spirit, RFC 7039; RA guard, RFC 6105.)
//
// A workload with a pinned MAC may use only that one; others are learned, a bounded number each. A workload with
// addresses may use only those, the link-local address made from its MAC (RFC 4291, appendix A), and the unspecified
// address where protocols need it: DHCP, ARP probes, duplicate address detection, MLD. It may speak ARP and neighbour
// discovery for its own addresses alone, and may not be a router. A workload without addresses may use any.
//
// An edge pair is a wire for each of its bridges: who is behind it is not known, so nothing is learned or refused but
// by VLAN. The tags stay on until the frame is written with those of the other side (pipeline/transmit.cc).
#include <algorithm>

#include "packet/parse.h"
#include "packet/wire.h"
#include "stages/stage.h"

namespace headgate {
namespace {

constexpr uint16_t kVlanId = 0x0fff;
constexpr uint8_t kSourceLinkLayer = 1, kTargetLinkLayer = 2;  // neighbour discovery options

bool is_unspecified(const Address& a) {
  return a == Address{} || (is_ipv4(a) && load32(a.bytes.data() + 12) == 0);
}

Address link_local_of(const Mac& mac) {
  return Address{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<uint8_t>(mac[0] ^ 2), mac[1], mac[2], 0xff, 0xfe, mac[3],
                  mac[4], mac[5]}};
}

bool may_use(const Workload& w, const Address& a) {
  if (w.addresses.contains(a)) return true;
  bool link_local = a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0x80;
  return link_local && (!w.pinned_mac || a == link_local_of(w.mac));
}

// DHCP clients have no address yet (RFC 2131, 4.1).
bool may_be_unspecified(const Headers& h) {
  if (h.layer3 == Layer3::kIpv4) return h.protocol == kUdp && h.source_port == 68 && h.destination_port == 67;
  if (h.protocol != kIcmp6) return false;
  // Router and neighbour solicitation, and MLD reports (RFC 4861, 4.1 and 4.3; RFC 3810, 5.2.13).
  constexpr uint8_t kMldReport = 131, kMldDone = 132, kMld2Report = 143;
  return h.icmp_type == kNdRouterSolicitation || h.icmp_type == kNdNeighbourSolicitation || h.icmp_type == kMldReport ||
         h.icmp_type == kMldDone || h.icmp_type == kMld2Report;
}

bool options_name(const uint8_t* option, const uint8_t* end, uint8_t type, const uint8_t* mac) {
  for (; option < end; option += option[1] * 8)
    if (option[0] == type && memcmp(option + 2, mac, 6) != 0) return false;
  return true;
}

bool nd_is_own(const Frame& frame, const Workload& w) {
  const Headers& h = frame.headers;
  if (h.icmp_type == kNdRouterAdvertisement || h.icmp_type == kNdRedirect) return w.any_address;
  const uint8_t* nd = frame.data + h.layer4_offset;
  const uint8_t* end = frame.data + h.layer3_offset + h.layer3_length;
  const uint8_t* mac = frame.data + 6;
  if (h.icmp_type == kNdRouterSolicitation) return options_name(nd + 8, end, kSourceLinkLayer, mac);
  if (h.icmp_type == kNdNeighbourSolicitation) return options_name(nd + 24, end, kSourceLinkLayer, mac);
  Address target;
  memcpy(target.bytes.data(), nd + 8, 16);
  return (w.any_address || may_use(w, target)) && options_name(nd + 24, end, kTargetLinkLayer, mac);
}

bool arp_is_own(const Frame& frame, const Workload& w) {
  const uint8_t* sender = frame.data + frame.headers.layer3_offset + 8;
  if (memcmp(sender, frame.data + 6, 6) != 0) return false;
  return w.any_address || is_unspecified(frame.headers.source) || may_use(w, frame.headers.source);
}

[[gnu::noinline]] Reason check_other_addresses(const Frame& frame, const Workload& w) {
  const Headers& h = frame.headers;
  if (h.layer3 == Layer3::kArp) return arp_is_own(frame, w) ? Reason::kNone : Reason::kSpoofedArp;
  if (h.neighbour_discovery && !nd_is_own(frame, w)) return Reason::kSpoofedNd;
  if (w.any_address || may_use(w, h.source)) return Reason::kNone;
  if (is_unspecified(h.source) && may_be_unspecified(h)) return Reason::kNone;
  return h.layer3 == Layer3::kIpv4 ? Reason::kSpoofedIpv4 : Reason::kSpoofedIpv6;
}

Reason check_addresses(const Frame& frame, const Workload& w) {
  const Headers& h = frame.headers;
  bool plain = is_tracked(h) && (w.any_address || w.addresses.contains(h.source));
  return plain ? Reason::kNone : check_other_addresses(frame, w);
}

[[gnu::noinline]] Reason learn_mac(const Frame& frame, const Context& ctx) {
  const uint32_t most = frame.source->remote ? MacTable::kLearnedPerRemote : MacTable::kLearnedPerWorkload;
  switch (frame.segment->macs->learn(frame.data + 6, frame.source_workload, ctx.seconds, most)) {
    case MacTable::Learned::kYes:
      return Reason::kNone;
    case MacTable::Learned::kNoRoom:
      return Reason::kMacLimit;
    default:
      return Reason::kSpoofedMac;
  }
}

Reason check_mac(const Frame& frame, const Workload& w, const Context& ctx) {
  if (!w.pinned_mac) return learn_mac(frame, ctx);
  return same_mac(frame.data + 6, w.mac.data()) ? Reason::kNone : Reason::kSpoofedMac;
}

// The far side of a segment that a tunnel's frame comes from. Its inner frame has no tags (RFC 7348, 6.1).
uint32_t find_remote(const PortView& port, const Frame& frame, Reason& reason) {
  const std::pair hop{frame.hop.remote, frame.hop.key};
  const auto found = std::ranges::lower_bound(port.remotes, hop, {}, &TunnelMember::hop);
  if (found != port.remotes.end() && found->hop() == hop) {
    if (!frame.headers.tags) return found->workload;
    reason = Reason::kVlanNotAllowed;
    return kNoWorkload;
  }
  const bool peer = std::ranges::any_of(port.remotes, [&](const TunnelMember& m) { return m.remote == hop.first; });
  reason = peer ? Reason::kTunnelUnknownKey : Reason::kTunnelUnknownPeer;
  return kNoWorkload;
}

// The workload of a trunk that the frame's tags name; kNoWorkload with `reason` set when there is none.
uint32_t find_sender(const PortView& port, const Frame& frame, Reason& reason) {
  const Headers& h = frame.headers;
  if (port.tunnel) return find_remote(port, frame, reason);
  if (!port.trunk) {
    reason = port.sender ? Reason::kVlanNotAllowed : Reason::kPortUnbound;
    return kNoWorkload;
  }
  uint16_t outer = h.tags > 0 ? h.vlan[0] & kVlanId : 0;
  uint16_t inner = h.tags > 1 ? h.vlan[1] & kVlanId : 0;
  for (const TrunkMember& member : port.members)
    if (member.vlan[0] == outer && member.vlan[1] == inner) return member.workload;
  reason = Reason::kVlanUnmapped;
  return kNoWorkload;
}

// Where the port alone does not say who sent the frame.
[[gnu::noinline]] Reason note_sender(Frame& frame, Context& ctx) {
  Reason reason = Reason::kNone;
  uint32_t place = find_sender(ctx.generation->ports[frame.port], frame, reason);
  if (place == kNoWorkload) return reason;
  frame.source_workload = place;
  frame.source = &ctx.workload(place);
  frame.segment = &ctx.segment_of(*frame.source);
  if (frame.headers.tags) strip_tags(frame);
  return Reason::kNone;
}

void count_sent(const Frame& frame, Context& ctx) {
  WorkloadCounters& counters = ctx.counters.workloads[frame.source_workload];
  counters.sent_packets += frame.headers.wire_packets;
  counters.sent_bytes += frame.length;
}

[[gnu::noinline]] bool enter_edge(Frame& frame, Context& ctx, const PortView& port) {
  frame.bridge = port.find_bridge(frame.headers);
  if (!frame.bridge) return drop(ctx, frame, Reason::kVlanUnmapped);
  frame.source = &ctx.workload(port.workload);
  frame.segment = port.segment;
  frame.tracker = frame.bridge->tracker;
  frame.destination_workload = port.partner;
  count_sent(frame, ctx);
  return true;
}

}  // namespace

[[gnu::noinline]] void strip_tags(Frame& frame) {
  uint32_t bytes = frame.headers.tags * kVlanTag;
  memmove(frame.data + bytes, frame.data, 12);
  frame.data += bytes;
  frame.length -= bytes;
  auto back = [bytes](uint16_t& offset) { offset = static_cast<uint16_t>(offset >= bytes ? offset - bytes : 0); };
  back(frame.headers.layer3_offset);
  back(frame.headers.layer4_offset);
  back(frame.headers.payload_offset);
  back(frame.offload.checksum_start);
  back(frame.offload.header_length);
  frame.headers.tags = 0;
}

bool guard_stage(Frame& frame, Context& ctx) {
  Reason reason = Reason::kNone;
  if (!frame.source || frame.headers.tags) {
    if (const PortView& port = ctx.generation->ports[frame.port]; port.edge) return enter_edge(frame, ctx, port);
    if (const Served served = admit_serviced(frame, ctx); served != Served::kNot) return served == Served::kYes;
    reason = note_sender(frame, ctx);
  }
  if (reason != Reason::kNone) return drop(ctx, frame, reason);
  const Workload& w = *frame.source;
  frame.tracker = frame.segment->tracker;
  reason = check_mac(frame, w, ctx);
  if (reason == Reason::kNone) reason = check_addresses(frame, w);
  if (reason != Reason::kNone) return drop(ctx, frame, reason);
  count_sent(frame, ctx);
  return true;
}

}  // namespace headgate
