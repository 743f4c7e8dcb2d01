// The one gate for bytes from outside (Ethernet, 802.1Q, QinQ, ARP, IPv4 RFC 791, IPv6 RFC 8200, TCP, UDP, ICMP,
// ICMPv6, neighbour discovery RFC 4861).
//
// Guarantee: when parse returns Reason::kNone, then
//   - every offset in Headers is inside the frame, and `layer3_offset + layer3_length <= length`;
//   - a non-zero layer4_offset has the whole fixed transport header behind it (TCP with its options) inside the
//     IP packet, and payload_offset is not beyond the packet;
//   - a TCP, UDP or ICMP packet that is no later fragment has layer4_offset != 0;
//   - neighbour discovery messages have hop limit 255, code 0, their fixed part and well-formed options;
//   - an ARP packet is whole and for Ethernet and IPv4;
//   - no IPv6 address is IPv4-mapped, so Address is one key for both families;
//   - the offload's checksum place is inside the frame, and a super-frame is a TCP or UDP packet of the family
//     it names, with header_length == payload_offset, a partial checksum and a segment size that is not zero;
//   - wire_packets says how many packets the frame stands for.
// Nothing behind this gate checks a length again.
#pragma once

#include "packet/frame.h"
#include "packet/reasons.h"

namespace headgate {

// Fills frame.headers (all but hash) and normalises frame.offload. Returns why the frame is to be dropped.
Reason parse(Frame& frame);

inline bool is_neighbour_discovery(const Headers& h) {
  return h.layer3 == Layer3::kIpv6 && h.protocol == kIcmp6 && h.layer4_offset != 0 && h.icmp_type >= 133 &&
         h.icmp_type <= 137;
}

inline bool is_group(const uint8_t* mac) { return mac[0] & 1; }

}  // namespace headgate
