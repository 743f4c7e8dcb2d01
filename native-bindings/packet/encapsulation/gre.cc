// GRE with a key, carrying Ethernet frames (RFC 2784, 2.1; RFC 2890, 2). A checksum and a sequence number may come with
// a packet: the one is checked, the other passed over (RFC 2890 leaves order to the receiver). Neither is sent.
//
//   |C| |K|S| reserved0       | Ver |         protocol type         |
//   |      checksum (optional)      |      reserved1 (optional)     |
//   |                              key                              |
//   |                   sequence number (optional)                  |
#include "packet/encapsulation/gre.h"

#include <cstring>

#include "packet/checksum.h"
#include "packet/wire.h"

namespace headgate {
namespace {

void write(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, kGreHeader);
  store32(to + 4, key);
}

Reason read(const Encapsulator&, std::span<const uint8_t> bytes, Encapsulated& found) {
  return read_gre(bytes, kGreChecksum | kGreKey | kGreSequence, found);
}

}  // namespace

bool prepare_gre(const EncapsulationOptions& options, Encapsulator& out, std::string& error) {
  if (!options.metadata.empty()) {
    error = "GRE has no options: use Geneve or NSH.";
    return false;
  }
  out.length = kGreHeader;
  memset(out.bytes, 0, kGreHeader);
  out.bytes[0] = kGreKey;
  store16(out.bytes + 2, kTransparentEthernet);
  return true;
}

Reason read_gre(std::span<const uint8_t> bytes, uint8_t allowed, Encapsulated& found) {
  if (bytes.size() < 4) return Reason::kTunnelTruncated;
  const uint8_t flags = bytes[0];
  // Bits 1 to 5 of reserved0 that a receiver does not know are refused, those behind it ignored (RFC 2784, 2.3).
  constexpr uint8_t kMustBeZero = 0x4c;
  if (bytes[1] & 7) return Reason::kGreBadVersion;
  if ((flags & kMustBeZero) || (flags & (kGreChecksum | kGreSequence) & ~allowed)) return Reason::kGreBadFlags;
  if (!(flags & kGreKey)) return Reason::kGreNoKey;
  const uint32_t before = 4 + (flags & kGreChecksum ? 4u : 0), header = before + 4 + (flags & kGreSequence ? 4u : 0);
  if (bytes.size() < header) return Reason::kTunnelTruncated;
  if (load16(&bytes[2]) != kTransparentEthernet) return Reason::kTunnelNotEthernet;
  if (flags & kGreChecksum && checksum_finish(checksum_add(bytes.data(), static_cast<uint32_t>(bytes.size()))) != 0)
    return Reason::kGreBadChecksum;
  found = {load32(&bytes[before]), header, header, 0};
  return Reason::kNone;
}

const Encapsulation kGre = {"gre", Carrier::kIp, 47, 0xffffffff, prepare_gre, write, read};

}  // namespace headgate
