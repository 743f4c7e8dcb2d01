// Frames that the parse stage must refuse, each with the reason: used by the tests of parse and of the list of reasons,
// and as seeds for the fuzz targets.
#pragma once

#include <functional>

#include "packet/reasons.h"
#include "test/frames.h"

namespace headgate::test {

struct BadFrame {
  Reason reason;
  const char* what;
  Bytes bytes;
  Offload offload{};
};

// The packet's frame after `change`; the IPv4 header checksum is right again afterwards.
inline Bytes broken(const Packet& packet, const std::function<void(Bytes&)>& change) {
  Bytes bytes = packet.bytes();
  change(bytes);
  if (!packet.ipv6() && bytes.size() >= packet.layer3() + 20) fix_ipv4(bytes, packet.layer3());
  return bytes;
}

// The frame cut off behind `size` bytes of its IP packet, whose length field says so.
inline Bytes shortened(const Packet& packet, size_t size) {
  return broken(packet, [&](Bytes& b) {
    b.resize(packet.layer3() + size);
    put16(b, packet.layer3() + (packet.ipv6() ? 4 : 2), size - (packet.ipv6() ? 40 : 0));
  });
}

inline std::vector<BadFrame> bad_frames() {
  const Packet udp4;
  Packet udp6, tcp4, tcp6, icmp4, icmp6, sctp, options, fragment6, tagged, extension6;
  udp6.source = "fd00::1", udp6.destination = "fd00::2";
  tcp4.protocol = kTcp;
  tcp6 = udp6, tcp6.protocol = kTcp;
  icmp4.protocol = kIcmp;
  icmp6 = udp6, icmp6.protocol = kIcmp6, icmp6.icmp_type = 128;
  sctp.protocol = kSctp;
  options.ip_options = {7, 3, 4, 0};  // record route, without room
  fragment6 = udp6, fragment6.fragment = true, fragment6.fragment_offset = 80;
  tagged.vlans = {5};
  extension6 = udp6, extension6.extensions = {{60}};
  const auto with = [](Packet p, auto change) {
    change(p);
    return p.bytes();
  };
  const auto set = [](size_t at, uint8_t value) { return [=](Bytes& b) { b[at] = value; }; };
  const auto cut = [](const Packet& p, size_t size) {
    Bytes bytes = p.bytes();
    bytes.resize(size);
    return bytes;
  };
  const auto flags = [&](uint8_t value) { return with(tcp4, [&](Packet& p) { p.tcp_flags = value; }); };
  const auto extended = [&](std::vector<Extension> chain) {
    return with(udp6, [&](Packet& p) { p.extensions = chain; });
  };
  const auto nd = [](uint8_t type, auto change) {
    Packet p = neighbour_discovery(type, "fe80::1", "fe80::2", "fe80::2", 1);
    change(p);
    return p.bytes();
  };
  const auto offload = [](const Packet& p, auto change) {
    Offload o = p.super_offload(100);
    change(o);
    return o;
  };
  const auto partial = [](uint16_t start, uint16_t offset) {
    Offload o;
    o.partial_checksum = true, o.checksum_start = start, o.checksum_offset = offset;
    return o;
  };
  using R = Reason;
  std::vector<BadFrame> all = {
      {R::kEthernetTruncated, "13 bytes", cut(udp4, 13)},
      {R::kEthernetTruncated, "nothing", {}},
      {R::kEthernetBadSource, "a group source", with(udp4, [](Packet& p) { p.source_mac[0] = 3; })},
      {R::kEthernetBadSource, "a zero source", with(udp4, [](Packet& p) { p.source_mac = {}; })},
      {R::kVlanTruncated, "a tag of 3 bytes", cut(tagged, 17)},
      {R::kVlanTooManyTags, "three tags",
       with(udp4,
            [](Packet& p) {
              p.vlans = {1, 2, 3};
            })},
      {R::kEthertypeUnsupported, "an experimental type", plain_frame(60)},
      {R::kEthertypeUnsupported, "a length (IEEE 802.3)", broken(udp4, [](Bytes& b) { put16(b, 12, 46); })},
      {R::kArpMalformed, "27 bytes of ARP",
       [] {
         Bytes b = arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2");
         b.pop_back();
         return b;
       }()},
      {R::kIpv4Truncated, "19 bytes of IPv4", cut(udp4, 14 + 19)},
      {R::kIpv4BadVersion, "version 5", broken(udp4, set(14, 0x55))},
      {R::kIpv4BadHeaderLength, "a header of 16 bytes", broken(udp4, set(14, 0x44))},
      {R::kIpv4BadHeaderLength, "a header beyond the frame", shortened(options, 20)},
      {R::kIpv4BadLength, "a total length beyond the frame",
       broken(udp4, [](Bytes& b) { put16(b, 16, b.size() - 14 + 1); })},
      {R::kIpv4BadLength, "a total length below the header", broken(udp4, [](Bytes& b) { put16(b, 16, 19); })},
      {R::kIpv4BadChecksum, "another checksum",
       [&] {
         Bytes b = udp4.bytes();
         b[24] ^= 1;
         return b;
       }()},
      {R::kIpv4BadOptions, "an option beyond the header", broken(options, set(35, 5))},
      {R::kIpv4BadOptions, "an option of length 0", broken(options, set(35, 0))},
      {R::kIpv4BadOptions, "an option without a length",
       with(options,
            [](Packet& p) {
              p.ip_options = {1, 1, 1, 7};
            })},
      {R::kIpv4SourceRoute, "loose source route", broken(options, set(34, 131))},
      {R::kIpv4SourceRoute, "strict source route", broken(options, set(34, 137))},
      {R::kIpv4BadAddress, "source equal to destination", with(udp4, [](Packet& p) { p.source = p.destination; })},
      {R::kIpv6Truncated, "39 bytes of IPv6", cut(udp6, 14 + 39)},
      {R::kIpv6BadVersion, "version 4", broken(udp6, set(14, 0x40))},
      {R::kIpv6BadLength, "a payload beyond the frame",
       broken(udp6, [](Bytes& b) { put16(b, 18, b.size() - 54 + 1); })},
      {R::kIpv6BadAddress, "source equal to destination", with(udp6, [](Packet& p) { p.source = p.destination; })},
      {R::kIpv6BadAddress, "an IPv4-mapped destination",
       with(udp6, [](Packet& p) { p.destination = "::ffff:10.0.0.1"; })},
      {R::kIpv6BadExtension, "hop-by-hop behind another header", extended({{60}, {0}})},
      {R::kIpv6BadExtension, "an extension beyond the packet", broken(extension6, set(14 + 40 + 1, 9))},
      {R::kIpv6BadExtension, "an extension of 7 bytes", shortened(extension6, 47)},
      {R::kIpv6BadExtension, "two fragment headers",
       with(udp6,
            [](Packet& p) {
              p.extensions = {{44, {0, 1, 0, 0, 0, 1}}, {44, {0, 1, 0, 0, 0, 1}}}, p.payload.resize(8);
            })},
      {R::kIpv6TooManyExtensions, "nine extension headers", extended(std::vector<Extension>(9, {60}))},
      {R::kIpv6RoutingHeader, "routing header type 0", extended({{43}})},
      {R::kFragmentMalformed, "a fragment beyond 64 KiB", with(udp4, [](Packet& p) { p.fragment_offset = 65528; })},
      {R::kFragmentMalformed, "a fragment beyond 64 KiB with its IPv4 header",
       with(udp4, [](Packet& p) { p.fragment_offset = 65520; })},
      {R::kFragmentMalformed, "a fragment of odd length with more to come",
       with(udp4, [](Packet& p) { p.fragment_offset = 80, p.more = true; })},
      {R::kFragmentMalformed, "an empty fragment",
       with(udp4, [](Packet& p) { p.fragment_offset = 80, p.payload.clear(); })},
      {R::kFragmentMalformed, "an IPv6 fragment of odd length with more to come",
       with(fragment6, [](Packet& p) { p.more = true; })},
      {R::kFragmentMalformed, "an IPv6 fragment beyond 64 KiB",
       with(fragment6, [](Packet& p) { p.fragment_offset = 65528; })},
      {R::kFragmentMalformed, "an IPv6 fragment beyond 64 KiB with its extension headers",
       with(fragment6, [](Packet& p) { p.fragment_offset = 65520, p.extensions = {{60}}; })},
      {R::kFragmentTiny, "a first fragment of 16 bytes of TCP",
       shortened(
           [&] {
             Packet p = tcp4;
             p.more = true;
             return p;
           }(),
           36)},
      {R::kFragmentTiny, "a first fragment that ends in the TCP options",
       shortened(
           [&] {
             Packet p = tcp4;
             p.more = true, p.tcp_options = Bytes(20, 1);
             return p;
           }(),
           20 + 24)},
      {R::kFragmentTiny, "an IPv6 first fragment that ends in its extension headers",
       [&] {
         Packet p = udp6;
         p.extensions = {{44, {0, 1, 0, 0, 0, 1}}, {60, Bytes(14)}};
         return shortened(p, 40 + 8 + 8);
       }()},
      {R::kTcpTruncated, "19 bytes of TCP", shortened(tcp4, 39)},
      {R::kTcpTruncated, "19 bytes of TCP over IPv6", shortened(tcp6, 59)},
      {R::kTcpBadOffset, "a data offset of 16", broken(tcp4, set(34 + 12, 4 << 4))},
      {R::kTcpBadOffset, "a data offset beyond the packet", broken(tcp4, set(34 + 12, 15 << 4))},
      {R::kTcpBadFlags, "no flags", flags(0)},
      {R::kTcpBadFlags, "SYN and FIN", flags(kSyn | kFin)},
      {R::kTcpBadFlags, "SYN and RST", flags(kSyn | kRst)},
      {R::kTcpBadFlags, "FIN without ACK", flags(kFin)},
      {R::kTcpBadFlags, "FIN and RST", flags(kFin | kRst | kAck)},
      {R::kTcpBadFlags, "PSH and URG alone", flags(kPsh | kUrg)},
      {R::kTcpBadChecksum, "another TCP checksum", broken(tcp4, [](Bytes& b) { b[34 + 16] ^= 1; })},
      {R::kTcpBadChecksum, "another payload of TCP over IPv6", broken(tcp6, [](Bytes& b) { b.back() ^= 1; })},
      {R::kUdpBadChecksum, "another UDP checksum", broken(udp4, [](Bytes& b) { b[34 + 6] ^= 1; })},
      {R::kUdpBadChecksum, "no UDP checksum over IPv6", broken(udp6, [](Bytes& b) { b[54 + 6] = b[54 + 7] = 0; })},
      {R::kIcmpBadChecksum, "another ICMP checksum", broken(icmp4, [](Bytes& b) { b[34 + 2] ^= 1; })},
      {R::kIcmpBadChecksum, "another payload of ICMPv6", broken(icmp6, [](Bytes& b) { b.back() ^= 1; })},
      {R::kUdpTruncated, "7 bytes of UDP", shortened(udp4, 27)},
      {R::kUdpBadLength, "a UDP length of 7", broken(udp4, [](Bytes& b) { put16(b, 38, 7); })},
      {R::kUdpBadLength, "a UDP length beyond the packet", broken(udp4, [](Bytes& b) { put16(b, 38, 19); })},
      {R::kSctpTruncated, "11 bytes of SCTP", shortened(sctp, 31)},
      {R::kIcmpTruncated, "7 bytes of ICMP", shortened(icmp4, 27)},
      {R::kIcmpTruncated, "7 bytes of ICMPv6", shortened(icmp6, 47)},
      {R::kIcmpWrongFamily, "ICMPv6 over IPv4", with(icmp4, [](Packet& p) { p.protocol = kIcmp6; })},
      {R::kIcmpWrongFamily, "ICMP over IPv6", with(icmp6, [](Packet& p) { p.protocol = kIcmp; })},
      {R::kNdMalformed, "hop limit 254", nd(135, [](Packet& p) { p.ttl = 254; })},
      {R::kNdMalformed, "code 1", nd(136, [](Packet& p) { p.icmp_code = 1; })},
      {R::kNdMalformed, "a solicitation without its target", nd(135, [](Packet& p) { p.payload.resize(15); })},
      {R::kNdMalformed, "an option of length 0", nd(135, [](Packet& p) { p.payload[17] = 0; })},
      {R::kNdMalformed, "an option beyond the message", nd(133, [](Packet& p) { p.payload[1] = 2; })},
      {R::kNdMalformed, "a byte behind the options", nd(134, [](Packet& p) { p.payload.push_back(1); })},
      {R::kNdMalformed, "a redirect of 39 bytes", nd(137, [](Packet& p) { p.payload.resize(31); })},
      {R::kNdMalformed, "a solicitation in fragments",
       nd(135, [](Packet& p) { p.fragment = true, p.more = true, p.payload.resize(24); })},
      {R::kOffloadMalformed, "TCP segments of UDP", udp4.bytes(), offload(tcp4, [](Offload&) {})},
      {R::kOffloadMalformed, "UDP segments of TCP", tcp4.bytes(), offload(udp4, [](Offload&) {})},
      {R::kOffloadMalformed, "IPv6 segments of IPv4", tcp4.bytes(), offload(tcp6, [](Offload&) {})},
      {R::kOffloadMalformed, "IPv4 fragments made by hardware", udp4.bytes(),
       offload(udp4, [](Offload& o) { o.kind = Offload::kUdpFragments; })},
      {R::kOffloadMalformed, "an unknown kind", udp4.bytes(),
       offload(udp4, [](Offload& o) { o.kind = static_cast<Offload::Kind>(77); })},
      {R::kOffloadMalformed, "segments of size 0", tcp4.bytes(), offload(tcp4, [](Offload& o) { o.segment_size = 0; })},
      {R::kOffloadMalformed, "a super-frame with a whole checksum", tcp4.bytes(),
       offload(tcp4, [](Offload& o) { o.partial_checksum = false; })},
      {R::kOffloadMalformed, "another checksum start", tcp4.bytes(),
       offload(tcp4, [](Offload& o) { ++o.checksum_start; })},
      {R::kOffloadMalformed, "another checksum offset", tcp4.bytes(),
       offload(tcp4, [](Offload& o) { o.checksum_offset = 6; })},
      {R::kOffloadMalformed, "a super-frame that is a fragment",
       with(udp4, [](Packet& p) { p.more = true, p.payload.resize(16); }), offload(udp4, [](Offload&) {})},
      {R::kOffloadMalformed, "a super-frame of ARP", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"),
       offload(udp4, [](Offload&) {})},
      {R::kOffloadMalformed, "a checksum behind the packet", udp4.bytes(), partial(34, 17)},
      {R::kOffloadMalformed, "a checksum over the IPv4 source", udp4.bytes(), partial(0, 26)},
      {R::kOffloadMalformed, "a checksum over the destination MAC", udp4.bytes(), partial(0, 0)},
      {R::kOffloadMalformed, "a checksum over the ports", udp4.bytes(), partial(34, 0)},
      {R::kOffloadMalformed, "a checksum over the IPv6 destination", udp6.bytes(), partial(14, 24)},
      {R::kOffloadMalformed, "a checksum over TCP flags", tcp4.bytes(), partial(34, 12)},
      {R::kOffloadMalformed, "a checksum in an ARP packet", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"),
       partial(0, 6)},
  };
  for (uint8_t at : {0, 1, 2, 3, 4, 5, 7}) {  // every field of ARP that is fixed, and the operation
    Bytes b = arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2");
    b[14 + at] ^= 8;
    all.push_back({R::kArpMalformed, "an ARP field that is another", b});
  }
  for (const char* source : {"224.0.0.1", "239.255.255.255", "255.255.255.255", "127.0.0.1", "0.0.0.1"})
    all.push_back({R::kIpv4BadAddress, source, with(udp4, [&](Packet& p) { p.source = source; })});
  for (const char* source : {"ff02::1", "::1", "::ffff:10.0.0.1"})
    all.push_back({R::kIpv6BadAddress, source, with(udp6, [&](Packet& p) { p.source = source; })});
  return all;
}

}  // namespace headgate::test
