// Geneve (RFC 8926, section 3): 8 bytes and options. Options that are not known are passed over unless they are
// critical; an endpoint knows those of its own tunnel. Control packets are none of a tunnel's frames.
//
//   |Ver|  opt len  |O|C|   rsvd    |         protocol type         |
//   |                     VNI                       |   reserved    |
//   an option:
//   |         option class          |C|    type     |R|R|R| length  |      then `length` words
#include <cstring>

#include "packet/encapsulation/encapsulation.h"
#include "packet/wire.h"

namespace headgate {
namespace {

constexpr uint32_t kHeader = 8, kOptionHeader = 4, kMostOptions = 252;
constexpr uint8_t kControl = 0x80, kCritical = 0x40;
constexpr uint8_t kCriticalOption = 0x80;

uint32_t size_of(const uint8_t* option) {
  return kOptionHeader + (option[3] & 31) * 4u;
}

// Whether the options fill their room exactly; `see` each.
template <class See>
bool walk(const uint8_t* option, uint32_t left, See see) {
  while (left) {
    if (left < kOptionHeader || size_of(option) > left) return false;
    see(option);
    left -= size_of(option);
    option += size_of(option);
  }
  return true;
}

bool has_critical(const uint8_t* options, uint32_t length) {
  bool found = false;
  walk(options, length, [&](const uint8_t* option) { found |= (option[2] & kCriticalOption) != 0; });
  return found;
}

// By class and type.
bool knows(const Encapsulator& own, const uint8_t* wanted) {
  bool found = false;
  walk(own.bytes + kHeader, own.length - kHeader,
       [&](const uint8_t* option) { found |= memcmp(option, wanted, 3) == 0; });
  return found;
}

bool prepare(const EncapsulationOptions& options, Encapsulator& out, std::string& error) {
  const auto length = static_cast<uint32_t>(options.metadata.size());
  if (length > kMostOptions || length % 4 != 0 || !walk(options.metadata.data(), length, [](const uint8_t*) {})) {
    error = "Geneve options must be whole words, each as long as it says, and at most 252 bytes together.";
    return false;
  }
  out.length = kHeader + length;
  memset(out.bytes, 0, kHeader);
  out.bytes[0] = static_cast<uint8_t>(length / 4);
  if (has_critical(options.metadata.data(), length)) out.bytes[1] = kCritical;
  store16(out.bytes + 2, kTransparentEthernet);
  if (length) memcpy(out.bytes + kHeader, options.metadata.data(), length);
  return true;
}

void write(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, own.length);
  store32(to + 4, key << 8);
}

Reason read_options(const Encapsulator& own, const uint8_t* options, uint32_t length, bool critical) {
  bool unknown = false;
  const bool whole = walk(options, length, [&](const uint8_t* option) {
    if (option[2] & kCriticalOption) unknown |= !critical || !knows(own, option);
  });
  if (!whole) return Reason::kGeneveBadOption;
  return unknown ? Reason::kGeneveCriticalOption : Reason::kNone;
}

Reason read(const Encapsulator& own, std::span<const uint8_t> bytes, Encapsulated& found) {
  if (bytes.size() < kHeader) return Reason::kTunnelTruncated;
  if (bytes[0] >> 6) return Reason::kGeneveBadVersion;
  if (bytes[1] & kControl) return Reason::kTunnelControl;
  const uint32_t length = (bytes[0] & 63) * 4u;
  if (length > bytes.size() - kHeader) return Reason::kTunnelTruncated;
  if (load16(&bytes[2]) != kTransparentEthernet) return Reason::kTunnelNotEthernet;
  found = {load32(&bytes[4]) >> 8, kHeader + length, kHeader, length};
  return length ? read_options(own, &bytes[kHeader], length, bytes[1] & kCritical) : Reason::kNone;
}

}  // namespace

const Encapsulation kGeneve = {"geneve", Carrier::kUdp, 6081, 0xffffff, prepare, write, read};

}  // namespace headgate
