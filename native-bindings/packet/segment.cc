#include "packet/segment.h"

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/wire.h"

namespace headgate {
namespace {

void fix_network_header(uint8_t* ip, bool v4, uint32_t total, uint32_t index) {
  if (v4) {
    store16(ip + 2, static_cast<uint16_t>(total));
    store16(ip + 4, static_cast<uint16_t>(load16(ip + 4) + index));
    checksum_ipv4(ip);
  } else {
    store16(ip + 4, static_cast<uint16_t>(total - kIpv6Header));
  }
}

// FIN and PSH belong to the last segment, CWR to the first (RFC 3168, 6.1.2).
void fix_tcp_header(uint8_t* tcp, uint32_t index, uint32_t segment_size, bool last) {
  store32(tcp + 4, load32(tcp + 4) + index * segment_size);
  constexpr uint8_t kCwr = 128;
  if (!last) tcp[13] &= static_cast<uint8_t>(~(kFin | kPsh));
  if (index) tcp[13] &= static_cast<uint8_t>(~kCwr);
}

}  // namespace

SegmentPayload build_segment_headers(const Frame& super, uint32_t index, uint8_t* to) {
  const Headers& h = super.headers;
  const uint32_t packet_end = h.layer3_offset + h.layer3_length, size = super.offload.segment_size;
  const uint32_t from = h.payload_offset + index * size, left = packet_end - from;
  const uint32_t payload = left < size ? left : size;
  const bool tcp = h.protocol == kTcp;
  memcpy(to, super.data, h.payload_offset);
  fix_network_header(to + h.layer3_offset, h.layer3 == Layer3::kIpv4, h.payload_offset - h.layer3_offset + payload,
                     index);
  uint8_t* transport = to + h.layer4_offset;
  const uint32_t header = h.payload_offset - h.layer4_offset, length = header + payload;
  if (tcp)
    fix_tcp_header(transport, index, size, payload == left);
  else
    store16(transport + 4, static_cast<uint16_t>(length));
  uint8_t* place = transport + (tcp ? 16 : 6);
  store16(place, 0);
  // A transport header is of an even length, so that the sums of both parts may be added.
  const uint16_t sum = checksum_finish(checksum_pseudo(super, h.protocol, length) + checksum_add(transport, header) +
                                       checksum_add(super.data + from, payload));
  store16(place, !tcp && sum == 0 ? 0xffff : sum);
  return {from, payload};
}

void build_segment(const Frame& super, uint32_t index, Frame& out) {
  const Headers& h = super.headers;
  out.data = out.buffer + kHeadroom;
  const SegmentPayload payload = build_segment_headers(super, index, out.data);
  memcpy(out.data + h.payload_offset, super.data + payload.from, payload.length);
  out.length = h.payload_offset + payload.length;
  out.offload = {};
  out.headers = h;
  out.headers.wire_packets = 1;
  out.headers.layer3_length = h.payload_offset - h.layer3_offset + payload.length;
}

}  // namespace headgate
