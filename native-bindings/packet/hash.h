// The hash of a 5-tuple: the same for both directions, keyed with a secret so that nobody outside can aim at
// one bucket. Folded multiplication as in wyhash; the two endpoints are mixed alone and then added.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "packet/headers.h"

namespace headgate {

inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_endpoint(const Address& address, uint16_t port, uint64_t secret) {
  uint64_t words[2];
  memcpy(words, address.bytes.data(), sizeof words);
  const uint64_t other = 0x9e3779b97f4a7c15ull ^ std::rotl(secret, 32);
  return fold_multiply(words[0] ^ secret ^ port, words[1] ^ other);
}

inline uint64_t hash_flow(const Address& a, uint16_t a_port, const Address& b, uint16_t b_port, uint8_t protocol,
                          uint64_t secret) {
  uint64_t sum = hash_endpoint(a, a_port, secret) + hash_endpoint(b, b_port, secret);
  return fold_multiply(sum ^ protocol, 0xd6e8feb86659fd93ull);
}

}  // namespace headgate
