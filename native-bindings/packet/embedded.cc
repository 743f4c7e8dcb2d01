#include "packet/embedded.h"

#include "packet/parse.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint32_t kQuoted = 8;  // bytes of the transport header that every error brings (RFC 792)

struct Quote {
  const uint8_t* bytes;
  uint32_t left;
};

bool parse_ipv4(Quote& q, Headers& inner) {
  const uint8_t* ip = q.bytes;
  if (q.left < kIpv4Header || ip[0] >> 4 != 4) return false;
  const uint32_t header = (ip[0] & 15) * 4u;
  if (header < kIpv4Header || header + kQuoted > q.left) return false;
  if ((ip[6] & 0x1f) | ip[7]) return false;  // a later fragment has no ports
  inner.layer3 = Layer3::kIpv4;
  inner.protocol = ip[9];
  set_ipv4_address(inner.source, ip + 12);
  set_ipv4_address(inner.destination, ip + 16);
  q = {ip + header, q.left - header};
  return true;
}

bool parse_ipv6(Quote& q, Headers& inner) {
  constexpr int kMostExtensions = 8;
  const uint8_t* ip = q.bytes;
  if (q.left < kIpv6Header || ip[0] >> 4 != 6) return false;
  inner.layer3 = Layer3::kIpv6;
  memcpy(inner.source.bytes.data(), ip + 8, 16);
  memcpy(inner.destination.bytes.data(), ip + 24, 16);
  uint8_t next = ip[6];
  q = {ip + kIpv6Header, q.left - kIpv6Header};
  for (int i = 0; i <= kMostExtensions && q.left >= kQuoted; ++i) {
    if (!is_extension(next)) {
      inner.protocol = next;
      return true;
    }
    if (next == kFragmentHeader && (load16(q.bytes + 2) & 0xfff8)) return false;
    const uint32_t size = extension_size(next, q.bytes);
    if (size > q.left) return false;
    next = q.bytes[0];
    q = {q.bytes + size, q.left - size};
  }
  return false;
}

}  // namespace

bool parse_embedded(const Frame& frame, Embedded& embedded) {
  const Headers& h = frame.headers;
  Headers& inner = embedded.inner;
  inner = {};
  Quote q{frame.data + h.payload_offset, h.layer3_offset + h.layer3_length - h.payload_offset};
  const bool v4 = h.layer3 == Layer3::kIpv4;
  if (!(v4 ? parse_ipv4(q, inner) : parse_ipv6(q, inner))) return false;
  switch (inner.protocol) {
    case kTcp:
      embedded.sequence = load32(q.bytes + 4);
      [[fallthrough]];
    case kUdp:
    case kSctp:
      inner.source_port = load16(q.bytes);
      inner.destination_port = load16(q.bytes + 2);
      return true;
    case kIcmp:
    case kIcmp6:
      if ((inner.protocol == kIcmp) != v4) return false;
      note_icmp(inner, q.bytes);
      return !inner.icmp_error;
    default:
      return true;
  }
}

bool connection_headers(const Frame& frame, Headers& headers) {
  if (!is_tracked(frame.headers)) return false;
  headers = frame.headers;
  if (!headers.icmp_error) return true;
  Embedded e;
  if (frame.headers.fragment || !parse_embedded(frame, e)) return false;
  headers = e.inner;
  headers.hash = frame.headers.hash;
  return true;
}

}  // namespace headgate
