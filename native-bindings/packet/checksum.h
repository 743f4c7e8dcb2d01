// The Internet checksum (RFC 1071), whole and with the pseudo-headers of IPv4 and IPv6 (RFC 8200, 8.1).
#pragma once

#include <cstdint>

#include "packet/frame.h"

namespace headgate {

// One's-complement sum of `length` bytes in network order, not folded. Sums of pieces may be added as long as
// each piece but the last has an even length.
uint64_t checksum_add(const uint8_t* bytes, uint32_t length);

// Folds a sum and complements it: the value to store, in host order.
uint16_t checksum_finish(uint64_t sum);

// Sum of the pseudo-header of the parsed IP packet for a transport part of `length` bytes.
uint64_t checksum_pseudo(const Frame& frame, uint8_t protocol, uint32_t length);

// Writes the IPv4 header checksum. `ip` points to a header whose length field has been checked.
void checksum_ipv4(uint8_t* ip);

// Completes a partial checksum in place, as hardware would. Needs the parse stage's check of the offload.
void checksum_complete(Frame& frame);

}  // namespace headgate
