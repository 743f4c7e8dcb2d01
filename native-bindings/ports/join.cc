// See join.h. What is looked at here is only whether frames are alike; the parse stage judges them.
#include "ports/join.h"

#include <algorithm>

#include "packet/checksum.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint8_t kAck = 16, kPsh = 8;
constexpr uint8_t kProtocolTcp = 6, kProtocolUdp = 17;

// A TCP segment or UDP datagram that fills its frame: offsets inside the frame, lengths that agree.
struct Plain {
  bool ipv4;
  uint8_t protocol;
  uint32_t layer4, payload, length;
  uint64_t pseudo_header;  // with the length of header and payload

  uint32_t payload_length() const { return length - payload; }
};

bool read_ip(const uint8_t* frame, uint32_t length, Plain& p) {
  if (length < kEthernetHeader + kIpv4Header) return false;
  const uint8_t* ip = frame + kEthernetHeader;
  const uint16_t type = load16(frame + 12);
  if (type == kEtherIpv4) {
    if (ip[0] != 0x45 || load16(ip + 2) != length - kEthernetHeader || load16(ip + 6) & 0xbfff) return false;
    p.ipv4 = true;
    p.protocol = ip[9];
    p.layer4 = kEthernetHeader + kIpv4Header;
    p.pseudo_header = checksum_add(ip + 12, 8);
    return checksum_ipv4_plain_ok(ip);
  }
  if (type != kEtherIpv6 || length < kEthernetHeader + kIpv6Header) return false;
  if (ip[0] >> 4 != 6 || load16(ip + 4) != length - kEthernetHeader - kIpv6Header) return false;
  p.ipv4 = false;
  p.protocol = ip[6];
  p.layer4 = kEthernetHeader + kIpv6Header;
  p.pseudo_header = checksum_add(ip + 8, 32);
  return true;
}

bool read_plain(const uint8_t* frame, uint32_t length, Plain& p) {
  if (!read_ip(frame, length, p)) return false;
  const uint32_t left = length - p.layer4;
  uint32_t header = kUdpHeader;
  if (p.protocol == kProtocolTcp) {
    if (left < kTcpHeader) return false;
    header = (frame[p.layer4 + 12] >> 4) * 4u;
    if (header < kTcpHeader) return false;
  } else if (p.protocol != kProtocolUdp) {
    return false;
  }
  if (left < header || (p.protocol == kProtocolUdp && load16(frame + p.layer4 + 4) != left)) return false;
  p.payload = p.layer4 + header;
  p.length = length;
  p.pseudo_header += uint64_t{p.protocol} + left;
  return true;
}

uint32_t checksum_place(const Plain& p) {
  return p.protocol == kProtocolTcp ? 16 : 6;
}

bool checksum_is_right(const uint8_t* frame, const Plain& p) {
  return checksum_finish(p.pseudo_header + checksum_add(frame + p.layer4, p.length - p.layer4)) == 0;
}

bool checksum_is_partial(const uint8_t* frame, const Plain& p) {
  return load16(frame + p.layer4 + checksum_place(p)) == static_cast<uint16_t>(~checksum_finish(p.pseudo_header));
}

bool may_be_joined(const uint8_t* frame, const Plain& p) {
  const uint8_t flags = frame[p.layer4 + 13];
  return p.protocol == kProtocolTcp && p.payload_length() > 0 && (flags & ~kPsh) == kAck;
}

bool ends_run(const uint8_t* frame, const Plain& p) {
  return frame[p.layer4 + 13] & kPsh;
}

bool same_ip(const uint8_t* a, const uint8_t* b, bool ipv4, size_t after) {
  if (!ipv4) return memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, kIpv6Header - 6) == 0;
  // The id counts up as cutting makes it, or does not matter (RFC 6864).
  const bool counts = static_cast<uint16_t>(load16(b + 4) - load16(a + 4)) == after || a[6] & 0x40;
  return counts && a[0] == b[0] && a[1] == b[1] && memcmp(a + 6, b + 6, 4) == 0 && memcmp(a + 12, b + 12, 8) == 0;
}

// Whether the frame is the segment that comes `after` segments of `size` bytes behind the first one.
bool continues(const uint8_t* first, const Plain& of_first, const uint8_t* next, const Plain& p, size_t after) {
  if (p.ipv4 != of_first.ipv4 || p.payload != of_first.payload || !may_be_joined(next, p)) return false;
  if (memcmp(first, next, kEthernetHeader) != 0) return false;
  if (!same_ip(first + kEthernetHeader, next + kEthernetHeader, p.ipv4, after)) return false;
  const uint8_t *a = first + p.layer4, *b = next + p.layer4;
  const uint32_t sequence = load32(a + 4) + static_cast<uint32_t>(after) * of_first.payload_length();
  return memcmp(a, b, 4) == 0 && load32(b + 4) == sequence && memcmp(a + 8, b + 8, 5) == 0 &&
         memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 18, b + 18, p.payload - p.layer4 - 18) == 0 &&
         p.payload_length() <= of_first.payload_length() && checksum_is_right(next, p);
}

void set_partial(Frame& out, const Plain& p, uint32_t segment_size) {
  Offload& o = out.offload;
  o.partial_checksum = true;
  o.checksum_start = static_cast<uint16_t>(p.layer4);
  o.checksum_offset = static_cast<uint16_t>(checksum_place(p));
  if (!segment_size) return;
  o.kind = p.ipv4 ? Offload::kTcp4 : Offload::kTcp6;
  o.header_length = static_cast<uint16_t>(p.payload);
  o.segment_size = static_cast<uint16_t>(segment_size);
}

// Makes the headers, which are those of the first segment, say what the super-frame is.
void finish_super_frame(Frame& out, Plain p, uint32_t segment_size) {
  uint8_t* ip = out.data + kEthernetHeader;
  const uint32_t length = out.length - p.layer4;
  p.pseudo_header = (p.ipv4 ? checksum_add(ip + 12, 8) : checksum_add(ip + 8, 32)) + kProtocolTcp + length;
  if (p.ipv4) {
    store16(ip + 2, static_cast<uint16_t>(out.length - kEthernetHeader));
    checksum_ipv4(ip);
  } else {
    store16(ip + 4, static_cast<uint16_t>(length));
  }
  uint8_t* tcp = out.data + p.layer4;
  store16(tcp + 16, static_cast<uint16_t>(~checksum_finish(p.pseudo_header)));
  set_partial(out, p, segment_size);
}

void copy(const Piece& piece, Frame& out) {
  out.data = out.buffer + kHeadroom;
  out.length = piece.length;
  out.offload = {};
  out.hop = piece.hop;
  memcpy(out.data, piece.data, piece.length);
}

// A frame by itself: what the kernel left undone of it, and what it did not say.
void copy_alone(const Piece& piece, uint32_t most, Frame& out) {
  copy(piece, out);
  Plain p;
  if (!read_plain(out.data, out.length, p)) return;
  const bool is_super = p.protocol == kProtocolTcp && out.length > most && most > p.payload;
  if (checksum_is_partial(out.data, p)) set_partial(out, p, is_super ? most - p.payload : 0);
  // For the device that joins datagrams (ports/coalesce.h).
  else if (p.protocol == kProtocolUdp && load16(out.data + p.layer4 + 6) && checksum_is_right(out.data, p))
    out.offload.checksum_valid = true;
}

bool same_hop(const TunnelHop& a, const TunnelHop& b) {
  return a.key == b.key && a.refused == b.refused && a.remote == b.remote;
}

// Puts the run of segments that begins with the first piece into `out`; returns how many they are, 0 if it is alone.
size_t join_run(std::span<const Piece> pieces, Frame& out) {
  const Piece& first = pieces[0];
  Plain of_first, p;
  if (pieces.size() < 2 || !read_plain(first.data, first.length, of_first)) return 0;
  if (!may_be_joined(first.data, of_first) || ends_run(first.data, of_first)) return 0;
  const uint32_t size = of_first.payload_length();
  uint32_t length = first.length;
  size_t count = 1;
  for (bool last = false; count < pieces.size() && !last; ++count) {
    const Piece& next = pieces[count];
    if (!same_hop(first.hop, next.hop) || !read_plain(next.data, next.length, p)) break;
    if (length + p.payload_length() > kEthernetHeader + 65535) break;
    if (!continues(first.data, of_first, next.data, p, count)) break;
    if (count == 1) {
      if (!checksum_is_right(first.data, of_first)) return 0;
      copy(first, out);
    }
    memcpy(out.data + length, next.data + p.payload, p.payload_length());
    length += p.payload_length();
    out.data[p.layer4 + 13] |= next.data[p.layer4 + 13] & kPsh;
    last = ends_run(next.data, p) || p.payload_length() < size;
  }
  if (count == 1) return 0;
  out.length = length;
  finish_super_frame(out, of_first, size);
  return count;
}

}  // namespace

size_t join(std::span<const Piece> pieces, uint32_t most, Frame& out) {
  if (pieces[0].hop.refused != Reason::kNone) {
    out.data = out.buffer + kHeadroom;
    out.length = 0;
    out.offload = {};
    out.hop = pieces[0].hop;
    return 1;
  }
  if (const size_t joined = join_run(pieces, out)) return joined;
  copy_alone(pieces[0], most, out);
  return 1;
}

}  // namespace headgate
