// Frames for tests of ports and of the pipeline: built byte by byte, with the offsets that parse would find.
#pragma once

#include <arpa/inet.h>

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

// Writes the checksum of the IPv4 header at `ip`.
inline void fix_ipv4(Bytes& frame, size_t ip = 14) {
  put16(frame, ip + 10, 0);
  put16(frame, ip + 10, static_cast<uint16_t>(~fold(sum_words(frame, ip, ip + (frame[ip] & 15) * 4u))));
}

// The sum of the pseudo-header of the IP packet at `ip`.
inline uint64_t pseudo_sum(const Bytes& frame, size_t ip, uint8_t protocol, size_t length) {
  const bool v6 = frame[ip] >> 4 == 6;
  return protocol + length + sum_words(frame, ip + (v6 ? 8 : 12), ip + (v6 ? 40 : 20));
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

// Any Ethernet frame, field by field: what tests of the pipeline send, whole or with a byte of it broken afterwards.
// The family is that of the addresses. A later fragment (`fragment_offset`) has the payload alone behind its IP header.
struct Extension {
  uint8_t type;
  Bytes body = Bytes(6);  // behind its next header and length: 8n + 6 bytes
};

struct Packet {
  Mac source_mac = kTestSource, destination_mac = kTestDestination;
  std::vector<uint16_t> vlans{};
  std::string source = "10.9.0.1", destination = "10.9.0.2";
  uint8_t protocol = kUdp;
  uint16_t source_port = 1000, destination_port = 2000;
  uint8_t tcp_flags = kAck;
  uint32_t sequence = 1, acknowledgement = 0;
  uint8_t icmp_type = 8, icmp_code = 0;
  uint16_t icmp_id = 7;
  uint32_t sctp_tag = 7;
  Bytes payload = Bytes(10, 0x55);
  Bytes ip_options{}, tcp_options{};    // multiples of 4 bytes
  std::vector<Extension> extensions{};  // IPv6, before a fragment header
  uint8_t ttl = 64;
  uint32_t id = 0;  // IPv4 id or of the fragment header
  bool dont_fragment = false, fragment = false, more = false;
  uint32_t fragment_offset = 0;  // bytes
  bool partial = false;

  bool ipv6() const { return source.find(':') != std::string::npos; }
  size_t layer3() const { return 14 + 4 * vlans.size(); }
  size_t layer4() const {
    if (!ipv6()) return layer3() + 20 + ip_options.size();
    size_t at = layer3() + 40;
    for (const Extension& e : extensions) at += e.body.size() + 2;
    return at + (fragment ? 8 : 0);
  }
  size_t transport_header() const {
    if (fragment_offset) return 0;
    return protocol == kTcp                          ? 20 + tcp_options.size()
           : protocol == kUdp                        ? 8
           : protocol == kSctp                       ? 12
           : protocol == kIcmp || protocol == kIcmp6 ? 8
                                                     : 0;
  }
  size_t checksum_offset() const { return protocol == kTcp ? 16 : protocol == kUdp ? 6 : 2; }

  Bytes bytes() const {
    Bytes frame(destination_mac.begin(), destination_mac.end());
    frame.insert(frame.end(), source_mac.begin(), source_mac.end());
    frame.resize(layer4() + transport_header());
    for (size_t i = 0; i < vlans.size(); i++) {
      put16(frame, 12 + 4 * i, i + 1 < vlans.size() ? 0x88a8 : 0x8100);
      put16(frame, 14 + 4 * i, vlans[i]);
    }
    put16(frame, layer3() - 2, ipv6() ? 0x86dd : 0x0800);
    frame.insert(frame.end(), payload.begin(), payload.end());
    ipv6() ? put_ipv6(frame) : put_ipv4(frame);
    if (transport_header()) put_transport(frame);
    return frame;
  }

  Offload offload() const {
    Offload offload;
    offload.partial_checksum = partial;
    if (partial) {
      offload.checksum_start = static_cast<uint16_t>(layer4());
      offload.checksum_offset = static_cast<uint16_t>(checksum_offset());
    }
    return offload;
  }

  Offload super_offload(uint16_t segment_size) const {
    Packet whole = *this;
    whole.partial = true;
    Offload offload = whole.offload();
    offload.kind = protocol == kUdp ? Offload::kUdp : ipv6() ? Offload::kTcp6 : Offload::kTcp4;
    offload.segment_size = segment_size;
    return offload;
  }

  // Of a TCP connection whose ends both begin with number 0 and send no data.
  Packet& set_flags(uint8_t flags) {
    tcp_flags = flags;
    sequence = flags & kSyn ? 0 : 1;
    acknowledgement = flags & kAck ? 1 : 0;
    return *this;
  }

  // The same flow the other way.
  Packet reversed() const {
    Packet back = *this;
    std::swap(back.source, back.destination);
    std::swap(back.source_mac, back.destination_mac);
    std::swap(back.source_port, back.destination_port);
    if (protocol == kIcmp && icmp_type == 8) back.icmp_type = 0;
    if (protocol == kIcmp6 && icmp_type == 128) back.icmp_type = 129;
    return back;
  }

 private:
  void put_ipv4(Bytes& frame) const {
    const size_t ip = layer3();
    frame[ip] = static_cast<uint8_t>(0x45 + ip_options.size() / 4);
    put16(frame, ip + 2, frame.size() - ip);
    put16(frame, ip + 4, id);
    put16(frame, ip + 6, (dont_fragment ? 0x4000 : 0) | (more ? 0x2000 : 0) | fragment_offset / 8);
    frame[ip + 8] = ttl;
    frame[ip + 9] = protocol;
    inet_pton(AF_INET, source.c_str(), &frame[ip + 12]);
    inet_pton(AF_INET, destination.c_str(), &frame[ip + 16]);
    std::copy(ip_options.begin(), ip_options.end(), frame.begin() + ip + 20);
    fix_ipv4(frame, ip);
  }
  void put_ipv6(Bytes& frame) const {
    const size_t ip = layer3();
    frame[ip] = 0x60;
    put16(frame, ip + 4, frame.size() - ip - 40);
    frame[ip + 7] = ttl;
    inet_pton(AF_INET6, source.c_str(), &frame[ip + 8]);
    inet_pton(AF_INET6, destination.c_str(), &frame[ip + 24]);
    size_t next = ip + 6, at = ip + 40;
    for (const Extension& e : extensions) {
      frame[next] = e.type;
      frame[at + 1] = static_cast<uint8_t>((e.body.size() + 2) / (e.type == 51 ? 4 : 8) - (e.type == 51 ? 2 : 1));
      std::copy(e.body.begin(), e.body.end(), frame.begin() + at + 2);
      next = at;
      at += e.body.size() + 2;
    }
    if (fragment) {
      frame[next] = 44;
      put16(frame, at + 2, fragment_offset | (more ? 1 : 0));
      put16(frame, at + 4, id >> 16);
      put16(frame, at + 6, id & 0xffff);
      next = at;
    }
    frame[next] = protocol;
  }
  void put_transport(Bytes& frame) const {
    const size_t at = layer4(), checksum = at + checksum_offset(), length = frame.size() - at;
    const bool icmp = protocol == kIcmp || protocol == kIcmp6;
    put16(frame, at, icmp ? icmp_type << 8 | icmp_code : source_port);
    if (!icmp) put16(frame, at + 2, destination_port);
    if (protocol == kSctp) {
      put16(frame, at + 4, sctp_tag >> 16);
      put16(frame, at + 6, sctp_tag & 0xffff);
      return;
    }
    if (icmp) put16(frame, at + 4, icmp_id);
    if (protocol == kUdp) put16(frame, at + 4, length);
    if (protocol == kTcp) {
      put16(frame, at + 4, sequence >> 16);
      put16(frame, at + 6, sequence & 0xffff);
      put16(frame, at + 8, acknowledgement >> 16);
      put16(frame, at + 10, acknowledgement & 0xffff);
      frame[at + 12] = static_cast<uint8_t>((20 + tcp_options.size()) << 2);
      frame[at + 13] = tcp_flags;
      put16(frame, at + 14, 1024);
      std::copy(tcp_options.begin(), tcp_options.end(), frame.begin() + at + 20);
    }
    const uint64_t pseudo = protocol == kIcmp ? 0 : pseudo_sum(frame, layer3(), protocol, length);
    const uint16_t sum =
        partial ? fold(pseudo) : static_cast<uint16_t>(~fold(pseudo + sum_words(frame, at, frame.size())));
    put16(frame, checksum, protocol == kUdp && !partial && sum == 0 ? 0xffff : sum);
  }
};

// The error about a packet, as a router or its receiver at `from` sends it to its sender: ICMP `type`, or ICMPv6.
inline Packet icmp_error(const Packet& about, uint8_t type, const std::string& from, size_t quoted = 28) {
  const Bytes frame = about.bytes();
  Packet p;
  p.source = from, p.destination = about.source;
  p.source_mac = about.destination_mac, p.destination_mac = about.source_mac;
  p.protocol = about.ipv6() ? kIcmp6 : kIcmp;
  p.icmp_type = type, p.icmp_code = 0, p.icmp_id = 0;
  const size_t header = about.layer3(), most = about.ipv6() ? quoted + 20 : quoted;
  p.payload.assign(frame.begin() + static_cast<long>(header),
                   frame.begin() + static_cast<long>(std::min(frame.size(), header + most)));
  return p;
}

inline Packet tcp_packet(uint8_t flags, uint16_t from = 1000) {
  Packet p;
  p.protocol = kTcp;
  p.source_port = from;
  p.payload.clear();
  return p.set_flags(flags);
}

inline Address address_of(const std::string& text) {
  Address address;
  if (text.find(':') != std::string::npos) {
    inet_pton(AF_INET6, text.c_str(), address.bytes.data());
  } else {
    address.bytes[10] = address.bytes[11] = 0xff;
    inet_pton(AF_INET, text.c_str(), address.bytes.data() + 12);
  }
  return address;
}

inline Bytes arp_frame(uint16_t operation, const Mac& sender, const std::string& sender_address,
                       const std::string& target_address,
                       const Mac& destination = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
  Bytes frame(destination.begin(), destination.end());
  frame.insert(frame.end(), sender.begin(), sender.end());
  const uint8_t fixed[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, static_cast<uint8_t>(operation)};
  frame.insert(frame.end(), fixed, fixed + sizeof fixed);
  frame.insert(frame.end(), sender.begin(), sender.end());
  frame.resize(14 + 28);
  inet_pton(AF_INET, sender_address.c_str(), &frame[28]);
  inet_pton(AF_INET, target_address.c_str(), &frame[38]);
  return frame;
}

// A neighbour discovery message about `target`, with a link-layer address option of that type (0: none).
inline Packet neighbour_discovery(uint8_t type, const std::string& source, const std::string& destination,
                                  const std::string& target, uint8_t option = 0, const Mac& mac = kTestSource) {
  Packet p;
  p.source = source;
  p.destination = destination;
  p.protocol = kIcmp6;
  p.icmp_type = type;
  p.icmp_id = 0;
  p.ttl = 255;
  p.payload.clear();
  if (type == 134) p.payload.resize(8);
  if (type >= 135) {
    const Address address = address_of(target);
    p.payload.assign(address.bytes.begin(), address.bytes.end());
  }
  if (type == 137) p.payload.resize(32);
  if (option) {
    p.payload.push_back(option);
    p.payload.push_back(1);
    p.payload.insert(p.payload.end(), mac.begin(), mac.end());
  }
  return p;
}

// What is wrong with the checksums of a frame that Packet or Datagram might have made: "" when all are right. Later and
// first fragments have no transport checksum of their own.
inline std::string checksum_fault(const Bytes& frame) {
  size_t ip = 14;
  while (frame.size() > ip + 2 && (get16(frame, ip - 2) == 0x8100 || get16(frame, ip - 2) == 0x88a8)) ip += 4;
  const bool v6 = get16(frame, ip - 2) == 0x86dd;
  if (!v6 && get16(frame, ip - 2) != 0x0800) return "";
  uint8_t protocol = frame[ip + (v6 ? 6 : 9)];
  size_t at = ip + (v6 ? 40 : (frame[ip] & 15) * 4u);
  const size_t end = ip + (v6 ? 40u + get16(frame, ip + 4) : get16(frame, ip + 2));
  if (!v6 && fold(sum_words(frame, ip, at)) != 0xffff) return "the IPv4 header's";
  bool fragment = !v6 && (get16(frame, ip + 6) & 0x3fff);
  while (v6 && (protocol == 0 || protocol == 43 || protocol == 44 || protocol == 51 || protocol == 60)) {
    if (protocol == 44 && (get16(frame, at + 2) & 0xfff9)) fragment = true;
    const size_t size = protocol == 44 ? 8 : protocol == 51 ? (frame[at + 1] + 2) * 4u : (frame[at + 1] + 1) * 8u;
    protocol = frame[at];
    at += size;
    if (fragment) break;
  }
  const bool summed = protocol == kTcp || protocol == kUdp || protocol == (v6 ? kIcmp6 : kIcmp);
  if (fragment || !summed || (protocol == kUdp && !v6 && get16(frame, at + 6) == 0)) return "";
  const uint64_t pseudo = protocol == kIcmp ? 0 : pseudo_sum(frame, ip, protocol, end - at);
  return fold(pseudo + sum_words(frame, at, end)) == 0xffff ? "" : "protocol " + std::to_string(protocol) + "'s";
}

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
