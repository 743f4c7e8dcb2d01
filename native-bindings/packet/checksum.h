// The Internet checksum (RFC 1071), whole and with the pseudo-headers of IPv4 and IPv6 (RFC 8200, 8.1).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "packet/frame.h"

namespace headgate {

// One's-complement sum of `length` bytes in network order, not folded. Sums of pieces may be added as long as
// each piece but the last has an even length.
uint64_t checksum_add(const uint8_t* bytes, uint32_t length);

// Folds a sum and complements it: the value to store, in host order.
uint16_t checksum_finish(uint64_t sum);

// Sum of the pseudo-header of the parsed IP packet for a transport part of `length` bytes.
uint64_t checksum_pseudo(const Frame& frame, uint8_t protocol, uint32_t length);

// Whether the checksum of a header without options is right. The sum may be taken in the machine's own byte order (RFC
// 1071, 2B): all ones is all ones either way.
inline bool checksum_ipv4_plain_ok(const uint8_t* ip) {
  uint64_t words[2];
  uint32_t rest;
  memcpy(words, ip, 16);
  memcpy(&rest, ip + 16, 4);
  uint64_t sum;
  bool carry = __builtin_add_overflow(words[0], words[1], &sum);
  sum += carry;
  carry = __builtin_add_overflow(sum, rest, &sum);
  sum += carry;
  // A sum of its two halves, carry and all, stands in the upper half of the sum with its halves exchanged.
  uint32_t half = static_cast<uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return (half + std::rotl(half, 16)) >> 16 == 0xffff;
}

// Writes the IPv4 header checksum. `ip` points to a header whose length field has been checked.
void checksum_ipv4(uint8_t* ip);

// Completes a partial checksum in place, as hardware would. Needs the parse stage's check of the offload.
void checksum_complete(Frame& frame);

}  // namespace headgate
