// See parse.h for the guarantee. The functions stand in the order in which a frame meets them.
#include "packet/parse.h"

#include "packet/checksum.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr int kMaxExtensions = 8;

// What is left of the packet while it is taken apart: `at` from the first byte of the frame, `left` to the end of the
// IP packet, not of the frame. Passed by value, so that it stays in registers.
struct Cursor {
  Headers& h;
  const uint8_t* bytes;
  uint32_t at;
  uint32_t left;
};

// What nearly every frame needs is compiled into one piece; the rest stays out of its way and of its registers.
#define INLINE [[gnu::always_inline]] inline
#define ASIDE [[gnu::noinline]]

Reason truncated(const Headers& h, Reason otherwise) {
  return h.fragment ? Reason::kFragmentTiny : otherwise;
}

INLINE Reason parse_tcp(Cursor c) {
  if (c.left < kTcpHeader) return truncated(c.h, Reason::kTcpTruncated);
  const uint8_t* tcp = c.bytes;
  uint32_t size = (tcp[12] >> 4) * 4u;
  if (size < kTcpHeader) return Reason::kTcpBadOffset;
  if (size > c.left) return truncated(c.h, Reason::kTcpBadOffset);
  uint8_t flags = tcp[13];
  bool syn = flags & kSyn, fin = flags & kFin, rst = flags & kRst, ack = flags & kAck;
  if ((syn && (fin || rst)) || (fin && rst) || (fin && !ack) || !(syn || fin || rst || ack))
    return Reason::kTcpBadFlags;
  c.h.source_port = load16(tcp);
  c.h.destination_port = load16(tcp + 2);
  c.h.tcp_flags = flags;
  c.h.payload_offset = static_cast<uint16_t>(c.at + size);
  return Reason::kNone;
}

INLINE Reason parse_udp(Cursor c) {
  if (c.left < kUdpHeader) return truncated(c.h, Reason::kUdpTruncated);
  const uint8_t* udp = c.bytes;
  uint32_t length = load16(udp + 4);
  if (length < kUdpHeader || (length > c.left && !c.h.fragment)) return Reason::kUdpBadLength;
  c.h.source_port = load16(udp);
  c.h.destination_port = load16(udp + 2);
  c.h.payload_offset = static_cast<uint16_t>(c.at + kUdpHeader);
  return Reason::kNone;
}

ASIDE Reason parse_sctp(Cursor c) {
  constexpr uint32_t kSctpHeader = 12;
  if (c.left < kSctpHeader) return truncated(c.h, Reason::kSctpTruncated);
  c.h.source_port = load16(c.bytes);
  c.h.destination_port = load16(c.bytes + 2);
  c.h.payload_offset = static_cast<uint16_t>(c.at + kSctpHeader);
  return Reason::kNone;
}

// Neighbour discovery (RFC 4861, 6.1 and 7.1): hop limit, code, fixed part and the lengths of the options.
Reason check_neighbour_discovery(Cursor c) {
  static constexpr uint8_t kFixedPart[] = {8, 16, 24, 24, 40};  // router sol., adv., neighbour sol., adv., redirect
  uint8_t hop_limit = (c.bytes - c.at)[c.h.layer3_offset + 7];
  if (c.h.fragment || hop_limit != 255 || c.h.icmp_code != 0) return Reason::kNdMalformed;
  uint32_t fixed = kFixedPart[c.h.icmp_type - kNdRouterSolicitation];
  if (c.left < fixed) return Reason::kNdMalformed;
  const uint8_t* option = c.bytes + fixed;
  uint32_t left = c.left - fixed;
  while (left) {
    uint32_t size = left >= 2 ? option[1] * 8u : 0;
    if (size == 0 || size > left) return Reason::kNdMalformed;
    option += size;
    left -= size;
  }
  return Reason::kNone;
}

ASIDE Reason parse_icmp(Cursor c) {
  if (c.left < kIcmpHeader) return truncated(c.h, Reason::kIcmpTruncated);
  const uint8_t* icmp = c.bytes;
  note_icmp(c.h, icmp);
  c.h.payload_offset = static_cast<uint16_t>(c.at + kIcmpHeader);
  if (c.h.protocol == kIcmp6 && icmp[0] >= kNdRouterSolicitation && icmp[0] <= kNdRedirect) {
    c.h.neighbour_discovery = true;
    c.h.tracked = false;
    return check_neighbour_discovery(c);
  }
  return Reason::kNone;
}

// The transport header at the cursor; later fragments have none.
INLINE Reason parse_transport(Cursor c) {
  if (c.h.fragment && !c.h.first_fragment) {
    c.h.payload_offset = static_cast<uint16_t>(c.at);
    return Reason::kNone;
  }
  bool v6 = c.h.layer3 == Layer3::kIpv6;
  c.h.layer4_offset = static_cast<uint16_t>(c.at);
  switch (c.h.protocol) {
    case kTcp:
      return parse_tcp(c);
    case kUdp:
      return parse_udp(c);
    case kSctp:
      return parse_sctp(c);
    case kIcmp:
    case kIcmp6:
      if (c.h.protocol == (v6 ? kIcmp : kIcmp6)) return Reason::kIcmpWrongFamily;
      return parse_icmp(c);
    default:
      c.h.layer4_offset = 0;
      c.h.payload_offset = static_cast<uint16_t>(c.at);
      return Reason::kNone;
  }
}

// `before` it, `length` bytes of it: what a whole datagram can be at most.
ASIDE Reason note_fragment(Frame& frame, uint32_t id, uint32_t before, const FragmentPart& part) {
  Headers& h = frame.headers;
  h.fragment = true;
  h.first_fragment = part.offset == 0;
  h.fragment_id = id;
  frame.part = part;
  if (part.length == 0 || before + part.offset + part.length > 65535 || (part.more && part.length % 8))
    return Reason::kFragmentMalformed;
  return Reason::kNone;
}

ASIDE Reason check_ipv4_options(const uint8_t* option, const uint8_t* end) {
  constexpr uint8_t kEndOfOptions = 0, kNoOperation = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
  while (option < end && *option != kEndOfOptions) {
    if (*option == kNoOperation) {
      ++option;
      continue;
    }
    if (*option == kLooseSourceRoute || *option == kStrictSourceRoute) return Reason::kIpv4SourceRoute;
    if (end - option < 2 || option[1] < 2 || option[1] > end - option) return Reason::kIpv4BadOptions;
    option += option[1];
  }
  return Reason::kNone;
}

// Sources that no host has: group, broadcast, loopback, "this network" but 0.0.0.0 (RFC 1122, 3.2.1.3).
ASIDE bool bad_ipv4_source(uint32_t source) {
  return source >> 28 == 14 || source == 0xffffffff || source >> 24 == 127 || (source >> 24 == 0 && source);
}

ASIDE Reason parse_ipv4_fragment(Frame& frame, Cursor c, const uint8_t* ip) {
  uint32_t place = load16(ip + 6);
  const FragmentPart part{static_cast<uint16_t>(place << 3), static_cast<uint16_t>(c.left), (place & 0x2000) != 0};
  Reason r = note_fragment(frame, load16(ip + 4), c.h.layer3_length - c.left, part);
  return r == Reason::kNone ? parse_transport(c) : r;
}

// An IPv4 packet whose header is `header` bytes long, all of them in the frame.
INLINE Reason parse_ipv4_header(Frame& frame, uint32_t at, uint32_t header) {
  Headers& h = frame.headers;
  const uint8_t* ip = frame.data + at;
  uint32_t left = frame.length - at;
  uint32_t total = load16(ip + 2);
  if (total < header || total > left) return Reason::kIpv4BadLength;
  bool sound = header == kIpv4Header ? checksum_ipv4_plain_ok(ip) : checksum_finish(checksum_add(ip, header)) == 0;
  if (!sound) return Reason::kIpv4BadChecksum;
  if (header > kIpv4Header)
    if (Reason r = check_ipv4_options(ip + kIpv4Header, ip + header); r != Reason::kNone) return r;
  bool odd = ip[12] == 0 || ip[12] == 127 || ip[12] >= 224;
  if ((odd && bad_ipv4_source(load32(ip + 12))) || memcmp(ip + 12, ip + 16, 4) == 0) return Reason::kIpv4BadAddress;
  set_ipv4_address(h.source, ip + 12);
  set_ipv4_address(h.destination, ip + 16);
  h.protocol = ip[9];
  h.layer3_length = total;
  h.tracked = true;
  Cursor c{h, ip + header, at + header, total - header};
  bool fragment = (ip[6] & 0x3f) | ip[7];  // more to come, or an offset
  return fragment ? parse_ipv4_fragment(frame, c, ip) : parse_transport(c);
}

ASIDE Reason parse_ipv4_with_options(Frame& frame, uint32_t at) {
  uint8_t first = frame.data[at];
  uint32_t header = (first & 15) * 4u;
  if (first >> 4 != 4) return Reason::kIpv4BadVersion;
  if (header < kIpv4Header || header > frame.length - at) return Reason::kIpv4BadHeaderLength;
  return parse_ipv4_header(frame, at, header);
}

INLINE Reason parse_ipv4(Frame& frame, uint32_t at) {
  constexpr uint8_t kVersion4Plain = 0x45;  // and five words of header
  frame.headers.layer3 = Layer3::kIpv4;
  if (frame.length - at < kIpv4Header) return Reason::kIpv4Truncated;
  if (frame.data[at] != kVersion4Plain) return parse_ipv4_with_options(frame, at);
  return parse_ipv4_header(frame, at, kIpv4Header);
}

bool bad_ipv6_source(const uint8_t* a) {
  static constexpr uint8_t kLoopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return a[0] == 0xff || memcmp(a, kLoopback, 16) == 0;
}

bool is_ipv4_mapped(const uint8_t* a) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return memcmp(a, kMapped, 12) == 0;
}

// Walks the extension headers to the transport header (RFC 8200, 4). Sets h.protocol and c.at.
Reason walk_extensions(Frame& frame, Cursor& c, uint8_t next) {
  for (int count = 0;; ++count) {
    if (!is_extension(next) || (c.h.fragment && !c.h.first_fragment)) {
      c.h.protocol = next;
      return Reason::kNone;
    }
    if (count == kMaxExtensions) return Reason::kIpv6TooManyExtensions;
    if (c.left < 8 || (next == kHopByHop && count)) return truncated(c.h, Reason::kIpv6BadExtension);
    const uint8_t* e = c.bytes;
    uint32_t size = extension_size(next, e);
    if (size > c.left) return truncated(c.h, Reason::kIpv6BadExtension);
    if (next == kRouting && e[2] == 0) return Reason::kIpv6RoutingHeader;
    if (next == kFragmentHeader) {
      if (c.h.fragment) return Reason::kIpv6BadExtension;
      uint32_t place = load16(e + 2);
      // An atomic fragment (offset 0, nothing follows) is a whole packet (RFC 6946).
      if (place & 0xfff9) {
        const FragmentPart part{static_cast<uint16_t>(place & 0xfff8), static_cast<uint16_t>(c.left - 8),
                                (place & 1) != 0};
        const uint32_t before =
            c.h.layer3_length - c.left - kIpv6Header;  // the payload length counts extension headers
        Reason r = note_fragment(frame, load32(e + 4), before, part);
        if (r != Reason::kNone) return r;
      }
    }
    next = e[0];
    c.at += size;
    c.bytes += size;
    c.left -= size;
  }
}

ASIDE Reason parse_ipv6(Frame& frame, uint32_t at) {
  Headers& h = frame.headers;
  h.layer3 = Layer3::kIpv6;
  uint32_t left = frame.length - at;
  if (left < kIpv6Header) return Reason::kIpv6Truncated;
  const uint8_t* ip = frame.data + at;
  if (ip[0] >> 4 != 6) return Reason::kIpv6BadVersion;
  uint32_t total = kIpv6Header + load16(ip + 4);
  if (total > left) return Reason::kIpv6BadLength;
  if (bad_ipv6_source(ip + 8) || is_ipv4_mapped(ip + 8) || is_ipv4_mapped(ip + 24) || memcmp(ip + 8, ip + 24, 16) == 0)
    return Reason::kIpv6BadAddress;
  memcpy(h.source.bytes.data(), ip + 8, 16);
  memcpy(h.destination.bytes.data(), ip + 24, 16);
  h.layer3_length = total;
  h.tracked = true;
  Cursor c{h, ip + kIpv6Header, at + kIpv6Header, total - kIpv6Header};
  if (Reason r = walk_extensions(frame, c, ip[6]); r != Reason::kNone) return r;
  return parse_transport(c);
}

ASIDE Reason parse_arp(Frame& frame, uint32_t at) {
  frame.headers.layer3 = Layer3::kArp;
  if (frame.length - at < kArpPacket) return Reason::kArpMalformed;
  static constexpr uint8_t kEthernetIpv4[6] = {0, 1, 8, 0, 6, 4};
  const uint8_t* arp = frame.data + at;
  uint16_t operation = load16(arp + 6);
  bool ok = memcmp(arp, kEthernetIpv4, 6) == 0 && (operation == 1 || operation == 2) && !is_group(arp + 8);
  if (!ok) return Reason::kArpMalformed;
  set_ipv4_address(frame.headers.source, arp + 14);
  set_ipv4_address(frame.headers.destination, arp + 24);
  return Reason::kNone;
}

// Where a partial checksum is written to must be no place that anything is judged by, or a sender could have its
// addresses or ports changed behind the firewall: the transport header's own checksum, or the payload (a tunnel's inner
// packet).
bool checksum_place_is_good(const Headers& h, const Offload& o) {
  uint32_t end = uint32_t{o.checksum_start} + o.checksum_offset + 2;
  if (h.payload_offset == 0 || end > h.layer3_offset + h.layer3_length) return false;
  if (o.checksum_start >= h.payload_offset) return true;
  uint16_t place = h.protocol == kTcp ? 16 : h.protocol == kUdp ? 6 : h.protocol == kSctp ? 8 : 2;
  return h.layer4_offset && o.checksum_start == h.layer4_offset && o.checksum_offset == place;
}

// A super-frame must be what its virtio-net header says, else cutting it would write out of bounds.
ASIDE Reason check_offload(Frame& frame) {
  Offload& o = frame.offload;
  const Headers& h = frame.headers;
  if (o.partial_checksum && !checksum_place_is_good(h, o)) return Reason::kOffloadMalformed;
  if (o.kind == Offload::kNone) return Reason::kNone;
  bool tcp = (o.kind == Offload::kTcp4 && h.layer3 == Layer3::kIpv4) ||
             (o.kind == Offload::kTcp6 && h.layer3 == Layer3::kIpv6);
  uint16_t place = tcp ? 16 : 6;
  if (!tcp && o.kind != Offload::kUdp) return Reason::kOffloadMalformed;
  if (h.fragment || h.layer4_offset == 0 || h.protocol != (tcp ? kTcp : kUdp) || o.segment_size == 0 ||
      !o.partial_checksum || o.checksum_start != h.layer4_offset || o.checksum_offset != place)
    return Reason::kOffloadMalformed;
  // Linux gives a hint only; the truth is what was parsed.
  o.header_length = h.payload_offset;
  uint32_t payload = h.layer3_offset + h.layer3_length - h.payload_offset;
  frame.headers.wire_packets = payload <= o.segment_size ? 1 : (payload + o.segment_size - 1) / o.segment_size;
  return Reason::kNone;
}

// The checksum of TCP, UDP and ICMP, where nobody vouches for it: a segment that its receiver would drop must not move
// the state of a connection. Of fragments it cannot be told, and SCTP's is another (RFC 9260, 6.8).
ASIDE Reason check_transport_checksum(const Frame& frame) {
  const Headers& h = frame.headers;
  if (!h.layer4_offset || h.fragment || h.protocol == kSctp) return Reason::kNone;
  const uint8_t* at = frame.data + h.layer4_offset;
  uint32_t length = h.layer3_offset + h.layer3_length - h.layer4_offset;
  if (h.protocol == kUdp) {
    const bool none = load16(at + 6) == 0;
    if (none) return h.layer3 == Layer3::kIpv6 ? Reason::kUdpBadChecksum : Reason::kNone;  // RFC 8200, 8.1
    length = load16(at + 4);
  }
  const uint64_t pseudo = h.protocol == kIcmp ? 0 : checksum_pseudo(frame, h.protocol, length);
  const uint16_t rest = checksum_finish(pseudo + checksum_add(at, length));
  // Sums have two zeros. The other one is that of zeros alone: so Linux answers an echo request without number or data.
  if (rest == 0 || rest == 0xffff) return Reason::kNone;
  return h.protocol == kTcp   ? Reason::kTcpBadChecksum
         : h.protocol == kUdp ? Reason::kUdpBadChecksum
                              : Reason::kIcmpBadChecksum;
}

// Takes the tags in; `at` and `type` go on to what is behind them.
ASIDE Reason parse_tags(Frame& frame, uint32_t& at, uint16_t& type) {
  Headers& h = frame.headers;
  while (type == kEtherVlan || type == kEtherQinQ) {
    if (frame.length - at < kVlanTag) return Reason::kVlanTruncated;
    if (h.tags == 2) return Reason::kVlanTooManyTags;
    h.vlan[h.tags++] = load16(frame.data + at);
    type = load16(frame.data + at + 2);
    at += kVlanTag;
  }
  return Reason::kNone;
}

ASIDE Reason parse_tagged_or_other(Frame& frame, uint16_t type) {
  uint32_t at = kEthernetHeader;
  if (Reason r = parse_tags(frame, at, type); r != Reason::kNone) return r;
  frame.headers.ethertype = type;
  frame.headers.layer3_offset = static_cast<uint16_t>(at);
  switch (type) {
    case kEtherIpv4:
      return parse_ipv4(frame, at);
    case kEtherIpv6:
      return parse_ipv6(frame, at);
    case kEtherArp:
      return parse_arp(frame, at);
    default:
      return Reason::kEthertypeUnsupported;
  }
}

}  // namespace

bool is_icmp_error(const Headers& h) {
  constexpr uint8_t kSourceQuench = 4;
  if (h.protocol == kIcmp6) return h.icmp_type < 128;
  return h.protocol == kIcmp &&
         (h.icmp_type == kIcmpUnreachable || h.icmp_type == kSourceQuench || h.icmp_type == kIcmpRedirect ||
          h.icmp_type == kIcmpTimeExceeded || h.icmp_type == kIcmpParameterProblem);
}

void note_icmp(Headers& h, const uint8_t* icmp) {
  h.icmp_type = icmp[0];
  h.icmp_code = icmp[1];
  h.icmp_error = is_icmp_error(h);
  const bool v6 = h.protocol == kIcmp6;
  const bool echo =
      v6 ? icmp[0] == kIcmp6Echo || icmp[0] == kIcmp6EchoReply : icmp[0] == kIcmpEcho || icmp[0] == kIcmpEchoReply;
  // What stands for the ports makes an echo and its reply one flow, and nothing else part of it: an echo the other way
  // has them the other way round, and other messages, which are flows of their type and code, differ from all of them.
  const uint16_t key = echo ? load16(icmp + 4) : load16(icmp), other = static_cast<uint16_t>(echo ? ~key : ~key ^ 1);
  const bool reply = echo && (icmp[0] == kIcmpEchoReply || icmp[0] == kIcmp6EchoReply);
  h.source_port = reply ? other : key;
  h.destination_port = reply ? key : other;
}

Reason parse(Frame& frame) {
  Headers& h = frame.headers;
  h = Headers{};
  if (frame.length < kEthernetHeader) return Reason::kEthernetTruncated;
  const uint8_t* source = frame.data + 6;
  if (is_group(source) || frame_mac(source) == 0) return Reason::kEthernetBadSource;
  uint16_t type = load16(frame.data + 12);
  Reason reason;
  if (type == kEtherIpv4) {
    h.ethertype = kEtherIpv4;
    h.layer3_offset = kEthernetHeader;
    reason = parse_ipv4(frame, kEthernetHeader);
  } else {
    reason = parse_tagged_or_other(frame, type);
  }
  if (reason != Reason::kNone) return reason;
  if (frame.offload.kind == Offload::kNone && !frame.offload.partial_checksum)
    return frame.offload.checksum_valid ? Reason::kNone : check_transport_checksum(frame);
  return check_offload(frame);
}

#undef INLINE
#undef ASIDE

}  // namespace headgate
