#include "packet/segment.h"

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/wire.h"

namespace headgate {
namespace {

void fix_network_header(Frame& out, uint32_t index) {
  uint8_t* ip = out.data + out.headers.layer3_offset;
  uint32_t total = out.headers.layer3_length;
  if (out.headers.layer3 == Layer3::kIpv4) {
    store16(ip + 2, static_cast<uint16_t>(total));
    store16(ip + 4, static_cast<uint16_t>(load16(ip + 4) + index));
    checksum_ipv4(ip);
  } else {
    store16(ip + 4, static_cast<uint16_t>(total - kIpv6Header));
  }
}

// FIN and PSH belong to the last segment, CWR to the first (RFC 3168, 6.1.2).
void fix_tcp_header(Frame& out, uint32_t index, uint32_t segment_size, bool last) {
  uint8_t* tcp = out.data + out.headers.layer4_offset;
  store32(tcp + 4, load32(tcp + 4) + index * segment_size);
  constexpr uint8_t kCwr = 128;
  if (!last) tcp[13] &= static_cast<uint8_t>(~(kFin | kPsh));
  if (index) tcp[13] &= static_cast<uint8_t>(~kCwr);
}

}  // namespace

void build_segment(const Frame& super, uint32_t index, Frame& out) {
  const Headers& h = super.headers;
  uint32_t packet_end = h.layer3_offset + h.layer3_length;
  uint32_t size = super.offload.segment_size;
  uint32_t from = h.payload_offset + index * size;
  uint32_t payload = packet_end - from < size ? packet_end - from : size;
  bool last = from + payload == packet_end;

  out.data = out.buffer + kHeadroom;
  out.length = h.payload_offset + payload;
  out.offload = {};
  out.headers = h;
  out.headers.wire_packets = 1;
  out.headers.layer3_length = h.payload_offset - h.layer3_offset + payload;
  memcpy(out.data, super.data, h.payload_offset);
  memcpy(out.data + h.payload_offset, super.data + from, payload);
  fix_network_header(out, index);
  uint8_t* transport = out.data + h.layer4_offset;
  uint32_t length = out.length - h.layer4_offset;
  bool tcp = h.protocol == kTcp;
  if (tcp)
    fix_tcp_header(out, index, size, last);
  else
    store16(transport + 4, static_cast<uint16_t>(length));
  uint8_t* place = transport + (tcp ? 16 : 6);
  store16(place, 0);
  uint16_t sum = checksum_finish(checksum_pseudo(out, h.protocol, length) + checksum_add(transport, length));
  store16(place, !tcp && sum == 0 ? 0xffff : sum);
}

}  // namespace headgate
