// What the parse stage found in a frame: offsets that are inside the frame and fields in host byte order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>

namespace headgate {

// An IPv4 address stands in the last four bytes behind ::ffff:0:0/96 (RFC 4291, 2.5.5.2), so that every table
// has one key form. Bytes are in network order.
struct Address {
  std::array<uint8_t, 16> bytes{};

  // The two halves as they lie in memory: enough to compare for equality, and cheap.
  uint64_t half(int i) const {
    uint64_t word;
    memcpy(&word, bytes.data() + 8 * i, sizeof word);
    return word;
  }
  // As a number, so that ranges can be compared.
  unsigned __int128 number() const {
    return static_cast<unsigned __int128>(__builtin_bswap64(half(0))) << 64 | __builtin_bswap64(half(1));
  }
  bool operator==(const Address& other) const { return ((half(0) ^ other.half(0)) | (half(1) ^ other.half(1))) == 0; }
  std::strong_ordering operator<=>(const Address& other) const { return number() <=> other.number(); }
};

using Mac = std::array<uint8_t, 6>;

enum class Layer3 : uint8_t { kNone, kArp, kIpv4, kIpv6 };

enum Protocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58, kSctp = 132 };

// TCP flags as they stand in byte 13 of the header.
enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32 };

struct Headers {
  Layer3 layer3 = Layer3::kNone;
  uint8_t protocol = 0;    // of the transport header, behind IPv6 extension headers
  uint8_t tags = 0;        // VLAN tags on the frame: 0, 1 or 2
  uint8_t tcp_flags = 0;   // TCP only
  uint16_t ethertype = 0;  // behind the tags
  uint16_t layer3_offset = 0;
  uint16_t vlan[2] = {};        // tag control information, outer first
  uint16_t layer4_offset = 0;   // 0 where there is no transport header: ARP, later fragments
  uint16_t payload_offset = 0;  // behind the transport header, or the IP headers where there is none; 0: ARP
  uint16_t source_port = 0;     // TCP, UDP, SCTP; ICMP: what tells its flows apart (parse.cc)
  uint16_t destination_port = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  bool fragment = false;        // any fragment
  bool first_fragment = false;  // the one with the transport header
  bool neighbour_discovery = false;
  bool icmp_error = false;  // ICMP or ICMPv6 about another packet, of which it brings a part
  bool tracked = false;     // subject to rules, with a connection record: IP, but not neighbour discovery
  uint32_t fragment_id = 0;
  uint32_t layer3_length = 0;  // of the IP packet as its header says; the frame may be padded
  uint32_t wire_packets = 1;   // that the frame stands for: 1, or the segments of a super-frame
  uint64_t hash = 0;           // of the 5-tuple, the same for both directions
  Address source;
  Address destination;
};

}  // namespace headgate
