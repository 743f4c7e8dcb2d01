// NVGRE (RFC 7637, 3.2): GRE whose key is a virtual subnet id of 24 bits and a flow id of 8. There is neither checksum
// nor sequence number. The flow id is sent as zero, which says that it tells nothing, and ignored.
#include <cstring>

#include "packet/encapsulation/gre.h"
#include "packet/wire.h"

namespace headgate {
namespace {

void write(const Encapsulator& own, uint32_t key, uint8_t* to) {
  memcpy(to, own.bytes, kGreHeader);
  store32(to + 4, key << 8);
}

Reason read(const Encapsulator&, std::span<const uint8_t> bytes, Encapsulated& found) {
  const Reason reason = read_gre(bytes, kGreKey, found);
  found.key >>= 8;
  return reason;
}

}  // namespace

const Encapsulation kNvgre = {"nvgre", Carrier::kIp, 47, 0xffffff, prepare_gre, write, read};

}  // namespace headgate
