// Big-endian loads and stores, and the few header constants that more than one file needs.
#pragma once

#include <cstdint>
#include <cstring>

namespace headgate {

inline uint16_t load16(const uint8_t* p) {
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap16(v);
}

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

inline void store16(uint8_t* p, uint16_t v) {
  v = __builtin_bswap16(v);
  memcpy(p, &v, sizeof v);
}

inline void store32(uint8_t* p, uint32_t v) {
  v = __builtin_bswap32(v);
  memcpy(p, &v, sizeof v);
}

constexpr uint32_t kEthernetHeader = 14;
constexpr uint32_t kVlanTag = 4;
constexpr uint32_t kIpv4Header = 20;
constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kTcpHeader = 20;
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kIcmpHeader = 8;
constexpr uint32_t kArpPacket = 28;

enum EtherType : uint16_t {
  kEtherIpv4 = 0x0800,
  kEtherArp = 0x0806,
  kEtherVlan = 0x8100,
  kEtherQinQ = 0x88a8,
  kEtherIpv6 = 0x86dd,
};

// ICMP and ICMPv6 types that the packet path knows.
enum IcmpType : uint8_t {
  kIcmpEchoReply = 0,
  kIcmpUnreachable = 3,
  kIcmpRedirect = 5,
  kIcmpEcho = 8,
  kIcmpTimeExceeded = 11,
  kIcmpParameterProblem = 12,
  kIcmp6Unreachable = 1,
  kIcmp6TooBig = 2,
  kIcmp6ParameterProblem = 4,
  kIcmp6Echo = 128,
  kIcmp6EchoReply = 129,
  kNdRouterSolicitation = 133,
  kNdRouterAdvertisement = 134,
  kNdNeighbourSolicitation = 135,
  kNdNeighbourAdvertisement = 136,
  kNdRedirect = 137,
};

}  // namespace headgate
