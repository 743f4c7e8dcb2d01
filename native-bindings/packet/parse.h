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
//   - a partial checksum is the transport header's own or one in its payload, and a super-frame is a TCP or UDP
//     packet of the family it names, with header_length == payload_offset, a partial checksum and a segment size
//     that is not zero;
//   - wire_packets says how many packets the frame stands for.
// Nothing behind this gate checks a length again.
#pragma once

#include "packet/frame.h"
#include "packet/reasons.h"

namespace headgate {

// Fills frame.headers (all but hash) and normalises frame.offload. Returns why the frame is to be dropped.
Reason parse(Frame& frame);

inline bool is_tracked(const Headers& h) {
  return h.tracked;
}

inline bool is_group(const uint8_t* mac) {
  return mac[0] & 1;
}

// A MAC as a number, in the machine's own byte order.
inline uint64_t mac_number(const uint8_t* mac) {
  uint32_t low;
  uint16_t high;
  memcpy(&low, mac, 4);
  memcpy(&high, mac + 4, 2);
  return static_cast<uint64_t>(high) << 32 | low;
}

// The same of a MAC that has two more bytes behind it, as both of a frame have: one load. Of use for comparing only.
inline uint64_t frame_mac(const uint8_t* mac) {
  uint64_t word;
  memcpy(&word, mac, sizeof word);
  return word << 16;
}

inline bool same_mac(const uint8_t* a, const uint8_t* b) {
  return memcmp(a, b, 6) == 0;
}

}  // namespace headgate
