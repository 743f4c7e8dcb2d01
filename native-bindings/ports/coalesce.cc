// Finds and describes runs of UDP datagrams; see coalesce.h.
#include "ports/coalesce.h"

#include <algorithm>

namespace headgate {
namespace {

constexpr uint32_t kUdpHeader = 8;
constexpr uint16_t kDontFragment = 0x4000;

uint16_t load16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}

void store16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

// Sums 16-bit words in network order (RFC 1071); `size` is even and small enough not to overflow.
uint32_t sum_words(const uint8_t* at, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i < size; i += 2) sum += load16(at + i);
  return sum;
}

uint16_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

// The first datagram of a run: what the others are compared with.
struct Flow {
  bool ipv4;
  uint32_t layer3, layer4, payload;  // offsets of IP, UDP and the payload
  uint32_t payload_size;
  uint32_t pseudo_header;  // unfolded sum of addresses and protocol, without the length
};

// Is this a whole, unpadded datagram with lengths that agree and a checksum that may be made anew?
bool plain_datagram(const Frame& frame, const Flow& flow) {
  const uint8_t* ip = frame.data + flow.layer3;
  const uint8_t* udp = frame.data + flow.layer4;
  const uint32_t udp_length = frame.length - flow.layer4;
  if (load16(udp + 4) != udp_length) return false;
  if (flow.ipv4) {
    if (load16(ip + 2) != frame.length - flow.layer3 || (load16(ip + 6) & ~kDontFragment) != 0) return false;
  } else if (load16(ip + 4) != udp_length) {
    return false;
  }
  const uint16_t checksum = load16(udp + 6);
  const Offload& offload = frame.offload;
  if (offload.partial_checksum) {
    return offload.checksum_start == flow.layer4 && offload.checksum_offset == 6 &&
           checksum == fold(flow.pseudo_header + udp_length);
  }
  return offload.checksum_valid && checksum != 0;
}

bool start_flow(const Frame& frame, Flow& flow) {
  const Headers& headers = frame.headers;
  if (headers.layer4_offset == 0 || headers.protocol != kUdp || headers.fragment) return false;
  flow.ipv4 = headers.layer3 == Layer3::kIpv4;
  flow.layer3 = headers.layer3_offset;
  flow.layer4 = headers.layer4_offset;
  flow.payload = flow.layer4 + kUdpHeader;
  if (flow.layer4 != flow.layer3 + (flow.ipv4 ? 20 : 40)) return false;  // options, extension headers
  if (flow.payload + kWireOffload > kMaxSuperHeader || flow.payload >= frame.length) return false;
  const uint8_t* ip = frame.data + flow.layer3;
  flow.payload_size = frame.length - flow.payload;
  flow.pseudo_header = kUdp + (flow.ipv4 ? sum_words(ip + 12, 8) : sum_words(ip + 8, 32));
  return frame.offload.kind == Offload::kNone && plain_datagram(frame, flow);
}

// Does `frame` continue the run that began with `first`, as its number `position`?
bool continues(const Frame& frame, const Frame& first, const Flow& flow, size_t position) {
  const Headers& headers = frame.headers;
  if (headers.layer4_offset != flow.layer4 || headers.layer3_offset != flow.layer3) return false;
  if (headers.layer3 != first.headers.layer3 || headers.protocol != kUdp || headers.fragment) return false;
  if (frame.offload.kind != Offload::kNone || frame.length <= flow.payload || frame.length > first.length) {
    return false;
  }
  if (std::memcmp(frame.data, first.data, flow.layer3) != 0) return false;
  const uint8_t* ip = frame.data + flow.layer3;
  const uint8_t* first_ip = first.data + flow.layer3;
  if (flow.ipv4) {
    // Version, TOS; flags, TTL, protocol; addresses and, behind them, the ports.
    if (std::memcmp(ip, first_ip, 2) != 0 || std::memcmp(ip + 6, first_ip + 6, 4) != 0) return false;
    if (std::memcmp(ip + 12, first_ip + 12, 12) != 0) return false;
    const bool atomic = load16(ip + 6) == kDontFragment;
    if (!atomic && load16(ip + 4) != static_cast<uint16_t>(load16(first_ip + 4) + position)) return false;
  } else {
    // Version, class, flow label; next header, hop limit, addresses, ports.
    if (std::memcmp(ip, first_ip, 4) != 0 || std::memcmp(ip + 6, first_ip + 6, 38) != 0) return false;
  }
  return plain_datagram(frame, flow);
}

void build_header(const Frame& first, const Flow& flow, uint32_t payload, SuperFrame& super) {
  Offload offload;
  offload.kind = Offload::kUdp;
  offload.partial_checksum = true;
  offload.header_length = static_cast<uint16_t>(flow.payload);
  offload.segment_size = static_cast<uint16_t>(flow.payload_size);
  offload.checksum_start = static_cast<uint16_t>(flow.layer4);
  offload.checksum_offset = 6;
  write_offload(offload, super.bytes);
  uint8_t* data = super.bytes + kWireOffload;
  std::memcpy(data, first.data, flow.payload);
  uint8_t* ip = data + flow.layer3;
  uint8_t* udp = data + flow.layer4;
  const uint32_t udp_length = kUdpHeader + payload;
  if (flow.ipv4) {
    store16(ip + 2, 20 + udp_length);
    store16(ip + 10, 0);
    store16(ip + 10, static_cast<uint16_t>(~fold(sum_words(ip, 20))));
  } else {
    store16(ip + 4, udp_length);
  }
  store16(udp + 4, udp_length);
  store16(udp + 6, fold(flow.pseudo_header + udp_length));
  super.header = kWireOffload + flow.payload;
  super.headers_length = flow.payload;
}

}  // namespace

void coalesce_udp(std::span<Frame* const> frames, SuperFrame& super) {
  super.frames = 1;
  Flow flow;
  if (frames.size() < 2 || !start_flow(*frames[0], flow)) return;
  const uint32_t most = 65535 - (flow.payload - flow.layer3);  // 64 KiB of IP, header included: kMaxFrame
  const size_t end = std::min(frames.size(), kMaxSegments);
  uint32_t payload = flow.payload_size;
  size_t count = 1;
  while (count < end && continues(*frames[count], *frames[0], flow, count)) {
    const uint32_t size = frames[count]->length - flow.payload;
    if (payload + size > most) break;
    payload += size;
    count++;
    if (size < flow.payload_size) break;  // a shorter one is the last
  }
  super.frames = count;
  if (count > 1) build_header(*frames[0], flow, payload, super);
}

}  // namespace headgate
