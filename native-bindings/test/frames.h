// Frames for tests of ports: built byte by byte, with the offsets that parse would find.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "packet/frame_pool.h"
#include "ports/memory.h"

namespace headgate::test {

using Bytes = std::vector<uint8_t>;

inline void put16(Bytes& bytes, size_t at, uint32_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

inline uint16_t get16(const Bytes& bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

inline uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

inline uint64_t sum_words(const Bytes& bytes, size_t from, size_t to) {
  uint64_t sum = 0;
  for (size_t i = from; i < to; i++) sum += i % 2 == from % 2 ? bytes[i] << 8 : bytes[i];
  return sum;
}

// Every test frame comes from this MAC, so that tests can tell it from what kernels say on their own.
constexpr Mac kTestSource = {0x02, 0x68, 0x67, 0, 0, 1};
constexpr Mac kTestDestination = {0x02, 0x68, 0x67, 0, 0, 2};

inline bool is_test_frame(const Bytes& bytes) {
  return bytes.size() >= 14 && std::memcmp(bytes.data() + 6, kTestSource.data(), 6) == 0;
}

inline Bytes ethernet(uint16_t ethertype, size_t tags = 0) {
  Bytes bytes(kTestDestination.begin(), kTestDestination.end());
  bytes.insert(bytes.end(), kTestSource.begin(), kTestSource.end());
  for (size_t i = 0; i < tags; i++) {
    bytes.resize(bytes.size() + 4);
    put16(bytes, bytes.size() - 4, i + 1 < tags ? 0x88a8 : 0x8100);
    put16(bytes, bytes.size() - 2, 100 + i);
  }
  bytes.resize(bytes.size() + 2);
  put16(bytes, bytes.size() - 2, ethertype);
  return bytes;
}

// `size` bytes of an experimental EtherType, numbered.
inline Bytes plain_frame(size_t size, uint32_t number = 0, size_t tags = 0) {
  Bytes bytes = ethernet(0x88b5, tags);
  const size_t header = bytes.size();
  bytes.resize(size);
  for (size_t i = header; i < size; i++) bytes[i] = static_cast<uint8_t>(i + number * 7);
  if (size >= header + 4) std::memcpy(bytes.data() + header, &number, 4);
  return bytes;
}

// An IPv4 or IPv6 datagram of UDP or TCP in its Ethernet frame.
struct Datagram {
  bool ipv6 = false;
  uint8_t protocol = kUdp;
  size_t tags = 0;
  uint8_t ttl = 64, tos = 0;
  uint16_t id = 0;
  bool dont_fragment = true;
  uint16_t source_port = 1000, destination_port = 2000;
  uint8_t destination_host = 2;
  uint32_t sequence = 1;
  Bytes payload{};
  bool partial = true;  // leave the checksum to the receiver

  size_t layer3() const { return 14 + 4 * tags; }
  size_t layer4() const { return layer3() + (ipv6 ? 40 : 20); }
  size_t transport_header() const { return protocol == kTcp ? 20 : 8; }

  Bytes bytes() const {
    Bytes frame = ethernet(ipv6 ? 0x86dd : 0x0800, tags);
    frame.resize(layer4() + transport_header());
    frame.insert(frame.end(), payload.begin(), payload.end());
    const size_t ip = layer3(), l4 = layer4(), checksum = l4 + (protocol == kTcp ? 16 : 6);
    const size_t transport_length = frame.size() - l4;
    if (ipv6) {
      frame[ip] = static_cast<uint8_t>(0x60 | tos >> 4);
      frame[ip + 1] = static_cast<uint8_t>(tos << 4);
      put16(frame, ip + 4, transport_length);
      frame[ip + 6] = protocol;
      frame[ip + 7] = ttl;
      frame[ip + 8] = frame[ip + 24] = 0xfd;
      frame[ip + 23] = 1;
      frame[ip + 39] = destination_host;
    } else {
      frame[ip] = 0x45;
      frame[ip + 1] = tos;
      put16(frame, ip + 2, frame.size() - ip);
      put16(frame, ip + 4, id);
      put16(frame, ip + 6, dont_fragment ? 0x4000 : 0);
      frame[ip + 8] = ttl;
      frame[ip + 9] = protocol;
      const uint8_t addresses[] = {10, 9, 0, 1, 10, 9, 0, destination_host};
      std::memcpy(&frame[ip + 12], addresses, 8);
      put16(frame, ip + 10, static_cast<uint16_t>(~fold(sum_words(frame, ip, ip + 20))));
    }
    put16(frame, l4, source_port);
    put16(frame, l4 + 2, destination_port);
    if (protocol == kTcp) {
      put16(frame, l4 + 4, sequence >> 16);
      put16(frame, l4 + 6, sequence & 0xffff);
      frame[l4 + 12] = 5 << 4;
      frame[l4 + 13] = kAck;
      put16(frame, l4 + 14, 1024);
    } else {
      put16(frame, l4 + 4, transport_length);
    }
    const uint64_t pseudo =
        protocol + transport_length + (ipv6 ? sum_words(frame, ip + 8, l4) : sum_words(frame, ip + 12, l4));
    if (partial) {
      put16(frame, checksum, fold(pseudo));
    } else {
      const uint16_t sum = static_cast<uint16_t>(~fold(pseudo + sum_words(frame, l4, frame.size())));
      put16(frame, checksum, sum == 0 ? 0xffff : sum);
    }
    return frame;
  }

  Offload offload() const {
    Offload offload;
    offload.partial_checksum = partial;
    offload.checksum_valid = !partial;
    if (partial) {
      offload.checksum_start = static_cast<uint16_t>(layer4());
      offload.checksum_offset = protocol == kTcp ? 16 : 6;
    }
    return offload;
  }

  Offload super_offload(uint16_t segment_size) const {
    Offload offload = this->offload();
    offload.kind = protocol == kUdp ? Offload::kUdp : ipv6 ? Offload::kTcp6 : Offload::kTcp4;
    offload.segment_size = segment_size;
    offload.header_length = static_cast<uint16_t>(layer4() + transport_header());
    return offload;
  }

  // What the parse stage would say.
  Headers headers() const {
    Headers headers;
    headers.layer3 = ipv6 ? Layer3::kIpv6 : Layer3::kIpv4;
    headers.protocol = protocol;
    headers.layer3_offset = static_cast<uint16_t>(layer3());
    headers.layer4_offset = static_cast<uint16_t>(layer4());
    headers.payload_offset = static_cast<uint16_t>(layer4() + transport_header());
    return headers;
  }
};

inline Bytes numbered_payload(size_t size, uint32_t number) {
  Bytes payload(size);
  for (size_t i = 0; i < size; i++) payload[i] = static_cast<uint8_t>(number * 31 + i);
  return payload;
}

// Frames from a pool that go back when this ends.
class Batch {
 public:
  explicit Batch(size_t count) : pool_(count) {
    for (size_t i = 0; i < count; i++) frames_.push_back(pool_.acquire());
  }
  void set(size_t i, const Bytes& bytes, const Offload& offload = {}) {
    FramePool::clear(*frames_[i]);
    std::memcpy(frames_[i]->data, bytes.data(), bytes.size());
    frames_[i]->length = static_cast<uint32_t>(bytes.size());
    frames_[i]->offload = offload;
  }
  void set(size_t i, const Datagram& datagram) {
    set(i, datagram.bytes(), datagram.offload());
    frames_[i]->headers = datagram.headers();
  }
  MemoryFrame get(size_t i) const {
    const Frame& frame = *frames_[i];
    return {{frame.data, frame.data + frame.length}, frame.offload};
  }
  std::span<Frame* const> frames() const { return frames_; }

 private:
  FramePool pool_;
  std::vector<Frame*> frames_;
};

// The seed of a random test: HEADGATE_TEST_SEED, else a new one.
inline uint32_t test_seed() {
  const char* given = std::getenv("HEADGATE_TEST_SEED");
  return given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10)) : std::random_device()();
}

inline std::string rerun(uint32_t seed, const char* test_case) {
  return "rerun: HEADGATE_TEST_SEED=" + std::to_string(seed) + " native-tests -tc='" + test_case + "'";
}

}  // namespace headgate::test
