#include "packet/checksum.h"

#include "packet/wire.h"

namespace headgate {

uint64_t checksum_add(const uint8_t* bytes, uint32_t length) {
  uint64_t sum = 0;
  while (length >= 4) {
    sum += load32(bytes);
    bytes += 4;
    length -= 4;
  }
  if (length >= 2) {
    sum += static_cast<uint64_t>(load16(bytes)) << 16;
    bytes += 2;
    length -= 2;
    if (length) sum += static_cast<uint64_t>(*bytes) << 8;
  } else if (length) {
    sum += static_cast<uint64_t>(*bytes) << 24;
  }
  return sum;
}

uint16_t checksum_finish(uint64_t sum) {
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<uint16_t>(~sum);
}

uint64_t checksum_pseudo(const Frame& frame, uint8_t protocol, uint32_t length) {
  const uint8_t* ip = frame.data + frame.headers.layer3_offset;
  uint64_t sum = static_cast<uint64_t>(protocol) + length;
  if (frame.headers.layer3 == Layer3::kIpv4) return sum + checksum_add(ip + 12, 8);
  return sum + checksum_add(ip + 8, 32);
}

void checksum_ipv4(uint8_t* ip) {
  store16(ip + 10, 0);
  store16(ip + 10, checksum_finish(checksum_add(ip, (ip[0] & 15) * 4u)));
}

void checksum_complete(Frame& frame) {
  if (!frame.offload.partial_checksum) return;
  uint8_t* start = frame.data + frame.offload.checksum_start;
  uint8_t* place = start + frame.offload.checksum_offset;
  uint32_t length = frame.length - frame.offload.checksum_start;
  const Headers& h = frame.headers;
  // Padding behind the IP packet is not summed.
  if (h.layer3_length && h.layer3_offset + h.layer3_length <= frame.length)
    length = h.layer3_offset + h.layer3_length - frame.offload.checksum_start;
  uint16_t value = checksum_finish(checksum_add(start, length));
  // A UDP checksum of zero means "none" (RFC 768).
  if (value == 0 && h.protocol == kUdp) value = 0xffff;
  store16(place, value);
  frame.offload.partial_checksum = false;
}

}  // namespace headgate
