// The network service header (RFC 8300, section 2) over Ethernet and over VXLAN-GPE, carrying Ethernet frames.
//
// The key is the service path header: path id << 8 | service index. The TTL is that of a first hop; a packet with none
// left is refused, and so is one whose service index has run out (2.3). Metadata is checked for its form and passed
// over: type 1 is 16 bytes, type 2 a row of headers, each with its length.
//
//   |Ver|O|U|    TTL    |   length  |U|U|U|U|MD type| next protocol |
//   |             service path id                   | service index |
//   a type 2 header:
//   |        metadata class         |      type     |U|   length    |      then `length` bytes, padded to words
#include <cstring>

#include "packet/encapsulation/encapsulation.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint32_t kBase = 8, kType1Context = 16, kMostHeader = 63 * 4;
constexpr uint8_t kOam = 0x20, kFirstTtl = 63, kNextEthernet = 3;

constexpr uint32_t kGpe = 8;
constexpr uint8_t kGpeVersion = 0x30, kGpeHasVni = 0x08, kGpeHasNext = 0x04, kGpeOam = 0x01, kGpeNextNsh = 4;

uint32_t size_of(const uint8_t* context) {
  return 4 + ((context[3] & 127) + 3u) / 4 * 4;
}

bool is_whole(const uint8_t* context, uint32_t left) {
  while (left) {
    if (left < 4 || size_of(context) > left) return false;
    left -= size_of(context);
    context += size_of(context);
  }
  return true;
}

bool prepare_at(const EncapsulationOptions& options, uint32_t at, Encapsulator& out, std::string& error) {
  const auto length = static_cast<uint32_t>(options.metadata.size());
  const bool one = options.md_type == 1;
  if ((!one && options.md_type != 2) || (one && length != kType1Context && length != 0)) {
    error = "NSH metadata is of type 1, with 16 bytes of context, or of type 2.";
    return false;
  }
  const uint32_t header = kBase + (one ? kType1Context : length);
  if (header > kMostHeader || length % 4 != 0 || (!one && !is_whole(options.metadata.data(), length))) {
    error = "NSH context headers must be whole words, each as long as it says, and at most 244 bytes together.";
    return false;
  }
  uint8_t* nsh = out.bytes + at;
  memset(nsh, 0, header);
  store16(nsh, kFirstTtl << 6 | header / 4);
  nsh[2] = options.md_type;
  nsh[3] = kNextEthernet;
  if (length) memcpy(nsh + kBase, options.metadata.data(), length);
  out.length = at + header;
  return true;
}

Reason read_at(std::span<const uint8_t> bytes, uint32_t at, Encapsulated& found) {
  if (bytes.size() < at + kBase) return Reason::kTunnelTruncated;
  const uint8_t* nsh = &bytes[at];
  const uint16_t first = load16(nsh);
  if (nsh[0] >> 6) return Reason::kNshBadVersion;
  if (nsh[0] & kOam) return Reason::kTunnelControl;
  const uint32_t header = (first & 63) * 4u;
  if (header < kBase) return Reason::kNshBadLength;
  if (header > bytes.size() - at) return Reason::kTunnelTruncated;
  const uint8_t type = nsh[2] & 15;
  if (type == 1 ? header != kBase + kType1Context : type != 2 || !is_whole(nsh + kBase, header - kBase))
    return Reason::kNshBadMetadata;
  if ((first >> 6 & 63) == 0 || nsh[7] == 0) return Reason::kNshExpired;
  if (nsh[3] != kNextEthernet) return Reason::kTunnelNotEthernet;
  found = {load32(nsh + 4), at + header, at + kBase, header - kBase};
  return Reason::kNone;
}

bool prepare_over_ethernet(const EncapsulationOptions& options, Encapsulator& out, std::string& error) {
  return prepare_at(options, 0, out, error);
}

void write_over_ethernet(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, own.length);
  store32(to + 4, key);
}

Reason read_over_ethernet(const Encapsulator&, std::span<const uint8_t> bytes, Encapsulated& found) {
  return read_at(bytes, 0, found);
}

bool prepare_over_gpe(const EncapsulationOptions& options, Encapsulator& out, std::string& error) {
  memset(out.bytes, 0, kGpe);
  out.bytes[0] = kGpeHasVni | kGpeHasNext;
  out.bytes[3] = kGpeNextNsh;
  return prepare_at(options, kGpe, out, error);
}

// The VNI is the path id: RFC 8300 leaves it open, and a receiver goes by the path.
void write_over_gpe(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, own.length);
  store32(to + 4, key & 0xffffff00);
  store32(to + kGpe + 4, key);
}

Reason read_over_gpe(const Encapsulator&, std::span<const uint8_t> bytes, Encapsulated& found) {
  if (bytes.size() < kGpe) return Reason::kTunnelTruncated;
  const uint8_t flags = bytes[0];
  if (flags & kGpeOam) return Reason::kTunnelControl;
  if ((flags & kGpeVersion) || !(flags & kGpeHasNext) || bytes[3] != kGpeNextNsh) return Reason::kVxlanGpeNotNsh;
  if (!(flags & kGpeHasVni)) return Reason::kVxlanNoVni;
  return read_at(bytes, kGpe, found);
}

}  // namespace

const Encapsulation kNsh = {"nsh", Carrier::kUdp, 4790, 0xffffffff, prepare_over_gpe, write_over_gpe, read_over_gpe};

const Encapsulation kNshEthernet = {"nsh-ethernet",      Carrier::kEthernet, 0x894f, 0xffffffff, prepare_over_ethernet,
                                    write_over_ethernet, read_over_ethernet};

}  // namespace headgate
