#include "packet/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "packet/wire.h"

namespace headgate {

namespace {

constexpr uint32_t kBlock = 64;

// The same sum of whole blocks, in the machine's byte order: words of 32 bits are added in lanes of 64.
uint64_t add_blocks(const uint8_t* bytes, uint32_t length) {
  typedef uint64_t Lanes __attribute__((vector_size(16)));
  Lanes low = {}, high = {};
  for (; length; bytes += kBlock, length -= kBlock)
    for (uint32_t i = 0; i < kBlock; i += sizeof(Lanes)) {
      Lanes some;
      memcpy(&some, bytes + i, sizeof some);
      low += some & 0xffffffff;
      high += some >> 32;
    }
  const Lanes sum = low + high;
  return sum[0] + sum[1];
}

#if defined(__x86_64__)
// Twice as wide.
[[gnu::target("avx2")]] uint64_t add_blocks_avx2(const uint8_t* bytes, uint32_t length) {
  const __m256i mask = _mm256_set1_epi64x(0xffffffff);
  __m256i low = _mm256_setzero_si256(), high = low;
  for (const uint8_t* end = bytes + length; bytes < end; bytes += 32) {
    const __m256i some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    low = _mm256_add_epi64(low, _mm256_and_si256(some, mask));
    high = _mm256_add_epi64(high, _mm256_srli_epi64(some, 32));
  }
  uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(low, high));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
const auto add_all_blocks = __builtin_cpu_supports("avx2") ? add_blocks_avx2 : add_blocks;
#else
constexpr auto add_all_blocks = add_blocks;
#endif

}  // namespace

uint64_t checksum_add(const uint8_t* bytes, uint32_t length) {
  uint64_t sum = 0;
  if (const uint32_t whole = length / kBlock * kBlock) {
    // Folded, the sum is that in network order with its bytes exchanged (RFC 1071, 2B).
    sum = __builtin_bswap16(static_cast<uint16_t>(~checksum_finish(add_all_blocks(bytes, whole))));
    bytes += whole;
    length -= whole;
  }
  while (length >= 4) {
    sum += load32(bytes);
    bytes += 4;
    length -= 4;
  }
  if (length >= 2) {
    sum += static_cast<uint64_t>(load16(bytes)) << 16;
    bytes += 2;
    length -= 2;
    if (length) sum += static_cast<uint64_t>(*bytes) << 8;
  } else if (length) {
    sum += static_cast<uint64_t>(*bytes) << 24;
  }
  return sum;
}

uint16_t checksum_finish(uint64_t sum) {
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 32) + (sum & 0xffffffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<uint16_t>(~sum);
}

uint64_t checksum_pseudo(const Frame& frame, uint8_t protocol, uint32_t length) {
  const uint8_t* ip = frame.data + frame.headers.layer3_offset;
  uint64_t sum = static_cast<uint64_t>(protocol) + length;
  if (frame.headers.layer3 == Layer3::kIpv4) return sum + checksum_add(ip + 12, 8);
  return sum + checksum_add(ip + 8, 32);
}

void checksum_ipv4(uint8_t* ip) {
  store16(ip + 10, 0);
  store16(ip + 10, checksum_finish(checksum_add(ip, (ip[0] & 15) * 4u)));
}

void checksum_complete(Frame& frame) {
  if (!frame.offload.partial_checksum) return;
  uint8_t* start = frame.data + frame.offload.checksum_start;
  uint8_t* place = start + frame.offload.checksum_offset;
  uint32_t length = frame.length - frame.offload.checksum_start;
  const Headers& h = frame.headers;
  // Padding behind the IP packet is not summed.
  if (h.layer3_length && h.layer3_offset + h.layer3_length <= frame.length)
    length = h.layer3_offset + h.layer3_length - frame.offload.checksum_start;
  uint16_t value = checksum_finish(checksum_add(start, length));
  // A UDP checksum of zero means "none" (RFC 768).
  if (value == 0 && h.protocol == kUdp) value = 0xffff;
  store16(place, value);
  frame.offload.partial_checksum = false;
}

}  // namespace headgate
