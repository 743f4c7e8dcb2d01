// VXLAN (RFC 7348, section 5): 8 bytes. Reserved bits are sent as zero and ignored, but for the flag that says that
// there is a VNI.
//
//    0                   1                   2                   3
//   |R|R|R|R|I|R|R|R|            reserved                           |
//   |               VNI                             |   reserved    |
#include <cstring>

#include "packet/encapsulation/encapsulation.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint32_t kHeader = 8;
constexpr uint8_t kHasVni = 0x08;

bool prepare(const EncapsulationOptions& options, Encapsulator& out, std::string& error) {
  if (!options.metadata.empty()) {
    error = "VXLAN has no options: use Geneve or NSH.";
    return false;
  }
  out.length = kHeader;
  memset(out.bytes, 0, kHeader);
  out.bytes[0] = kHasVni;
  return true;
}

void write(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, kHeader);
  store32(to + 4, key << 8);
}

Reason read(const Encapsulator&, std::span<const uint8_t> bytes, Encapsulated& found) {
  if (bytes.size() < kHeader) return Reason::kTunnelTruncated;
  if (!(bytes[0] & kHasVni)) return Reason::kVxlanNoVni;
  found = {load32(&bytes[4]) >> 8, kHeader, kHeader, 0};
  return Reason::kNone;
}

}  // namespace

const Encapsulation kVxlan = {"vxlan", Carrier::kUdp, 4789, 0xffffff, prepare, write, read};

}  // namespace headgate
