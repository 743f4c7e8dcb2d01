#include "packet/answer.h"

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint8_t kTtl = 64;

// The Ethernet and IP header of a packet from `from` to `to`, with `length` bytes of `protocol` behind it. Returns
// where those bytes begin. `turned`: the answer goes back to the frame's sender.
uint8_t* build_headers(const Frame& frame, Frame& answer, bool turned, uint8_t protocol, uint32_t length) {
  const Headers& h = frame.headers;
  answer.offload = {};
  answer.data = answer.buffer + kHeadroom;
  uint8_t* out = answer.data;
  memcpy(out, frame.data + (turned ? 6 : 0), 6);
  memcpy(out + 6, frame.data + (turned ? 0 : 6), 6);
  bool v4 = h.layer3 == Layer3::kIpv4;
  store16(out + 12, v4 ? kEtherIpv4 : kEtherIpv6);
  uint8_t* ip = out + kEthernetHeader;
  const uint8_t* was = frame.data + h.layer3_offset;
  uint32_t header = v4 ? kIpv4Header : kIpv6Header;
  memset(ip, 0, header);
  if (v4) {
    ip[0] = 0x45;
    store16(ip + 2, static_cast<uint16_t>(header + length));
    store16(ip + 6, 0x4000);  // do not fragment
    ip[8] = kTtl;
    ip[9] = protocol;
    memcpy(ip + 12, was + (turned ? 16 : 12), 4);
    memcpy(ip + 16, was + (turned ? 12 : 16), 4);
    checksum_ipv4(ip);
  } else {
    ip[0] = 0x60;
    store16(ip + 4, static_cast<uint16_t>(length));
    ip[6] = protocol;
    ip[7] = kTtl;
    memcpy(ip + 8, was + (turned ? 24 : 8), 16);
    memcpy(ip + 24, was + (turned ? 8 : 24), 16);
  }
  answer.headers = {};
  answer.headers.layer3 = h.layer3;
  answer.headers.layer3_offset = kEthernetHeader;
  answer.headers.layer3_length = header + length;
  answer.length = kEthernetHeader + header + length;
  return ip + header;
}

void build_tcp_reset(const Frame& frame, Frame& answer, bool turned, uint32_t sequence, uint32_t acknowledgement,
                     uint8_t flags) {
  const uint8_t* was = frame.data + frame.headers.layer4_offset;
  uint8_t* tcp = build_headers(frame, answer, turned, kTcp, kTcpHeader);
  memset(tcp, 0, kTcpHeader);
  memcpy(tcp, was + (turned ? 2 : 0), 2);
  memcpy(tcp + 2, was + (turned ? 0 : 2), 2);
  store32(tcp + 4, sequence);
  store32(tcp + 8, acknowledgement);
  tcp[12] = 5 << 4;
  tcp[13] = flags;
  store16(tcp + 16, checksum_finish(checksum_pseudo(answer, kTcp, kTcpHeader) + checksum_add(tcp, kTcpHeader)));
}

struct IcmpKind {
  uint8_t type, code;
};

// Whether a host may have the address: no group, no loopback, and not "this host" or network (RFC 1122, 3.2.1.3; RFC
// 4291).
bool is_host(const Address& a) {
  constexpr Address kLoopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  const uint8_t* b = a.bytes.data();
  bool v4 = load32(b) == 0 && load32(b + 4) == 0 && load32(b + 8) == 0xffff;
  if (v4) return b[12] != 0 && b[12] != 127 && b[12] < 224;
  return b[0] != 0xff && a != Address{} && a != kLoopback;
}

// Resets answer neither resets nor what goes to a group or to nobody (RFC 9293, 3.10.7.1; RFC 1122, 4.2.3.10).
bool may_be_reset(const Frame& frame) {
  const Headers& h = frame.headers;
  return h.protocol == kTcp && h.layer4_offset && !(h.tcp_flags & kRst) && !is_group(frame.data) &&
         is_host(h.destination);
}

}  // namespace

bool build_reset_to_sender(const Frame& frame, Frame& answer) {
  const Headers& h = frame.headers;
  if (!may_be_reset(frame)) return false;
  const uint8_t* tcp = frame.data + h.layer4_offset;
  if (h.tcp_flags & kAck) {
    build_tcp_reset(frame, answer, true, load32(tcp + 8), 0, kRst);
    return true;
  }
  uint32_t length = h.layer3_offset + h.layer3_length - h.payload_offset;
  length += (h.tcp_flags & kSyn ? 1 : 0) + (h.tcp_flags & kFin ? 1 : 0);
  build_tcp_reset(frame, answer, true, 0, load32(tcp + 4) + length, kRst | kAck);
  return true;
}

bool build_reset_to_receiver(const Frame& frame, Frame& answer) {
  const Headers& h = frame.headers;
  if (!may_be_reset(frame)) return false;
  const uint8_t* tcp = frame.data + h.layer4_offset;
  build_tcp_reset(frame, answer, false, load32(tcp + 4), load32(tcp + 8), kRst | (h.tcp_flags & kAck));
  return true;
}

namespace {

// An ICMP error with the head of the packet; `rest` stands in the second word of its header.
bool build_error(const Frame& frame, Frame& answer, IcmpKind v4_kind, IcmpKind v6_kind, uint32_t rest) {
  const Headers& h = frame.headers;
  bool answerable = (h.layer3 == Layer3::kIpv4 || h.layer3 == Layer3::kIpv6) && !(h.fragment && !h.first_fragment) &&
                    !h.icmp_error && !is_group(frame.data) && is_host(h.destination) && is_host(h.source);
  if (!answerable) return false;
  bool v4 = h.layer3 == Layer3::kIpv4;
  // The head of the packet: 8 bytes behind the header for IPv4 (RFC 792), up to the minimum MTU for IPv6 (RFC
  // 4443, 2.4).
  uint32_t most =
      v4 ? (h.layer4_offset ? h.layer4_offset - h.layer3_offset : kIpv4Header) + 8u : 1280u - kIpv6Header - kIcmpHeader;
  uint32_t quoted = h.layer3_length < most ? h.layer3_length : most;
  uint8_t* icmp = build_headers(frame, answer, true, v4 ? kIcmp : kIcmp6, kIcmpHeader + quoted);
  memset(icmp, 0, kIcmpHeader);
  icmp[0] = v4 ? v4_kind.type : v6_kind.type;
  icmp[1] = v4 ? v4_kind.code : v6_kind.code;
  store32(icmp + 4, rest);
  memcpy(icmp + kIcmpHeader, frame.data + h.layer3_offset, quoted);
  uint64_t sum = checksum_add(icmp, kIcmpHeader + quoted);
  if (!v4) sum += checksum_pseudo(answer, kIcmp6, kIcmpHeader + quoted);
  store16(icmp + 2, checksum_finish(sum));
  return true;
}

}  // namespace

bool build_prohibited(const Frame& frame, Frame& answer) {
  return build_error(frame, answer, {kIcmpUnreachable, 13}, {kIcmp6Unreachable, 1}, 0);
}

bool build_too_big(const Frame& frame, Frame& answer, uint32_t mtu) {
  return build_error(frame, answer, {kIcmpUnreachable, 4}, {kIcmp6TooBig, 0}, mtu);
}

}  // namespace headgate
