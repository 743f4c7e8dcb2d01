// The one gate for bytes from outside (Ethernet, 802.1Q, QinQ, ARP, IPv4 RFC 791, IPv6 RFC 8200, TCP, UDP, ICMP,
// ICMPv6, neighbour discovery RFC 4861).
//
// Guarantee: when parse returns Reason::kNone, then
//   - every offset in Headers is inside the frame, and `layer3_offset + layer3_length <= length`;
//   - a non-zero layer4_offset has the whole fixed transport header behind it (TCP with its options) inside the
//     IP packet, and payload_offset is not beyond the packet;
//   - a TCP, UDP or ICMP packet that is no later fragment has layer4_offset != 0;
//   - the checksum of a TCP, UDP or ICMP packet that is no fragment is right, is partial, or the kernel vouches for it;
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

// Puts the address behind ::ffff:0:0/96, in two words, as it is read again.
inline void set_ipv4_address(Address& address, const uint8_t* bytes) {
  uint32_t last;
  memcpy(&last, bytes, sizeof last);
  const uint64_t words[2] = {0, uint64_t{last} << 32 | 0xffff0000};
  memcpy(address.bytes.data(), words, sizeof words);
}

// IPv6 extension headers (RFC 8200, 4).
enum NextHeader : uint8_t {
  kHopByHop = 0,
  kRouting = 43,
  kFragmentHeader = 44,
  kAuthentication = 51,
  kDestinationOptions = 60,
};

inline bool is_extension(uint8_t next) {
  return next == kHopByHop || next == kRouting || next == kFragmentHeader || next == kAuthentication ||
         next == kDestinationOptions;
}

// Bytes of an extension header, of which two are there.
inline uint32_t extension_size(uint8_t kind, const uint8_t* header) {
  if (kind == kFragmentHeader) return 8;
  return kind == kAuthentication ? (header[1] + 2) * 4u : (header[1] + 1) * 8u;
}

// Reads protocol and type.
bool is_icmp_error(const Headers& h);

// Type, code, whether it is an error, and what stands for ports, of an ICMP or ICMPv6 header of 8 bytes. Reads
// `protocol`.
void note_icmp(Headers& h, const uint8_t* icmp);

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
