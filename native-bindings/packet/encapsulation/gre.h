// What GRE (RFC 2784) with key and sequence number (RFC 2890) and NVGRE (RFC 7637) have in common.
#pragma once

#include "packet/encapsulation/encapsulation.h"

namespace headgate {

constexpr uint32_t kGreHeader = 8;  // with a key and nothing else
constexpr uint8_t kGreChecksum = 0x80, kGreKey = 0x20, kGreSequence = 0x10;

bool prepare_gre(const EncapsulationOptions& options, Encapsulator& out, std::string& error);

// Reads the header; of its flags only those in `allowed` may be set, and the key must be.
Reason read_gre(std::span<const uint8_t> bytes, uint8_t allowed, Encapsulated& found);

}  // namespace headgate
