// Joining datagrams must be undone byte for byte by segmenting: checked on random runs against a slow
// segmenter written from virtio 1.2, 5.1.6.2 and the kernel's udp_offload.c. Then what must not be joined,
// one by one.
#include <doctest/doctest.h>

#include <functional>

#include "ports/coalesce.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

MemoryFrame join(std::span<Frame* const> frames, SuperFrame& super) {
  coalesce_udp(frames, super);
  if (super.frames == 1) return {{frames[0]->data, frames[0]->data + frames[0]->length}, frames[0]->offload};
  MemoryFrame joined;
  joined.offload = read_offload(super.bytes);
  joined.bytes.assign(super.bytes + kWireOffload, super.bytes + super.header);
  for (size_t i = 0; i < super.frames; i++) {
    joined.bytes.insert(joined.bytes.end(), frames[i]->data + super.headers_length,
                        frames[i]->data + frames[i]->length);
  }
  return joined;
}

// Cuts a UDP super-frame into datagrams with complete checksums.
std::vector<Bytes> segment(const MemoryFrame& super) {
  const Bytes& bytes = super.bytes;
  const size_t udp = super.offload.checksum_start, payload = udp + 8;
  size_t ethertype = 12;
  while (get16(bytes, ethertype) == 0x8100 || get16(bytes, ethertype) == 0x88a8) ethertype += 4;
  const bool ipv6 = get16(bytes, ethertype) == 0x86dd;
  const size_t ip = udp - (ipv6 ? 40 : 20);
  REQUIRE(super.offload.kind == Offload::kUdp);
  REQUIRE(super.offload.partial_checksum);
  REQUIRE(super.offload.checksum_offset == 6);
  REQUIRE(super.offload.header_length == payload);
  REQUIRE(get16(bytes, udp + 4) == bytes.size() - udp);
  // The partial checksum is the pseudo-header's sum; whoever segments relies on it.
  const uint64_t addresses = ipv6 ? sum_words(bytes, ip + 8, udp) : sum_words(bytes, ip + 12, udp);
  REQUIRE(get16(bytes, udp + 6) == fold(addresses + kUdp + bytes.size() - udp));
  if (ipv6) {
    REQUIRE(get16(bytes, ip + 4) == bytes.size() - udp);
  } else {
    REQUIRE(get16(bytes, ip + 2) == bytes.size() - ip);
    REQUIRE(fold(sum_words(bytes, ip, udp)) == 0xffff);
  }
  std::vector<Bytes> segments;
  for (size_t at = payload; at < bytes.size(); at += super.offload.segment_size) {
    const size_t end = std::min(bytes.size(), at + super.offload.segment_size);
    Bytes one(bytes.begin(), bytes.begin() + static_cast<long>(payload));
    one.insert(one.end(), bytes.begin() + static_cast<long>(at), bytes.begin() + static_cast<long>(end));
    put16(one, udp + 4, one.size() - udp);
    if (ipv6) {
      put16(one, ip + 4, one.size() - udp);
    } else {
      put16(one, ip + 2, one.size() - ip);
      put16(one, ip + 4, get16(bytes, ip + 4) + segments.size());
      put16(one, ip + 10, 0);
      put16(one, ip + 10, static_cast<uint16_t>(~fold(sum_words(one, ip, udp))));
    }
    put16(one, udp + 6, 0);
    const uint16_t sum =
        static_cast<uint16_t>(~fold(addresses + kUdp + one.size() - udp + sum_words(one, udp, one.size())));
    put16(one, udp + 6, sum == 0 ? 0xffff : sum);
    segments.push_back(one);
  }
  return segments;
}

// With DF the identification means nothing (RFC 6864) and segmentation may change it.
Bytes without_atomic_id(Bytes bytes, const Datagram& datagram) {
  if (!datagram.ipv6 && datagram.dont_fragment) {
    const size_t ip = datagram.layer3();
    put16(bytes, ip + 4, 0);
    put16(bytes, ip + 10, 0);
  }
  return bytes;
}

TEST_CASE("segmenting what was joined gives back the datagrams") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "segmenting what was joined gives back the datagrams"));
  std::mt19937 random(seed);
  const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
  size_t joined_frames = 0;
  for (int round = 0; round < 300; round++) {
    const size_t count = 1 + random() % 100;
    std::vector<Datagram> datagrams;
    Datagram datagram{
        .ipv6 = chance(50), .tags = random() % 3, .id = static_cast<uint16_t>(random()), .dont_fragment = chance(50)};
    const unsigned variety = random() % 6;  // percent of frames that differ in some way
    size_t size = 1 + (chance(50) ? random() % 40 : random() % 1472);
    for (size_t i = 0; i < count; i++) {
      datagram.id++;
      if (chance(variety)) datagram.ttl = static_cast<uint8_t>(1 + random() % 3);
      if (chance(variety)) datagram.tos = static_cast<uint8_t>(random() % 2 * 16);
      if (chance(variety)) datagram.id++;
      if (chance(variety)) datagram.source_port = static_cast<uint16_t>(random() % 3);
      if (chance(variety)) datagram.destination_host = static_cast<uint8_t>(2 + random() % 2);
      if (chance(variety)) size = 1 + random() % 1472;
      if (chance(variety)) datagram.tags = random() % 3;
      datagram.partial = chance(80);
      datagram.payload =
          numbered_payload(chance(variety) ? 1 + random() % size : size, static_cast<uint32_t>(random()));
      datagrams.push_back(datagram);
    }
    Batch batch(count);
    for (size_t i = 0; i < count; i++) batch.set(i, datagrams[i]);
    for (size_t done = 0; done < count;) {
      SuperFrame super;
      const MemoryFrame joined = join(batch.frames().subspan(done), super);
      REQUIRE(super.frames >= 1);
      REQUIRE(super.frames <= std::min(kMaxSegments, count - done));
      if (super.frames > 1) {
        joined_frames += super.frames;
        REQUIRE(joined.bytes.size() <= kMaxFrame);
        const auto segments = segment(joined);
        REQUIRE(segments.size() == super.frames);
        for (size_t i = 0; i < segments.size(); i++) {
          Datagram whole = datagrams[done + i];
          whole.partial = false;
          REQUIRE(without_atomic_id(segments[i], whole) == without_atomic_id(whole.bytes(), whole));
        }
      }
      done += super.frames;
    }
  }
  CHECK(joined_frames > 3000);  // the property was not met by joining nothing
}

TEST_CASE("the largest run fits 64 segments and 64 KiB") {
  for (const auto& [size, wanted] : {std::pair<size_t, size_t>{18, 64}, {1472, 44}, {32000, 2}, {40000, 1}}) {
    Batch batch(100);
    for (size_t i = 0; i < 100; i++) batch.set(i, Datagram{.payload = numbered_payload(size, 1)});
    SuperFrame super;
    coalesce_udp(batch.frames(), super);
    CHECK(super.frames == wanted);
  }
}

size_t joined_of(const Datagram& first, const Datagram& second, const std::function<void(Frame&)>& change = {}) {
  Batch batch(2);
  batch.set(0, first);
  batch.set(1, second);
  if (change) change(*batch.frames()[1]);
  SuperFrame super;
  coalesce_udp(batch.frames(), super);
  return super.frames;
}

TEST_CASE("what segmenting could not give back is not joined") {
  for (const bool ipv6 : {false, true}) {
    CAPTURE(ipv6);
    const Datagram plain{.ipv6 = ipv6, .id = 5, .payload = Bytes(20, 1)};
    const size_t ip = plain.layer3(), udp = plain.layer4();
    REQUIRE(joined_of(plain, plain) == 2);

    Datagram other = plain;
    SUBCASE("another TTL") {
      other.ttl = 63;
    }
    SUBCASE("another TOS") {
      other.tos = 16;
    }
    SUBCASE("another source port") {
      other.source_port = 1;
    }
    SUBCASE("another destination port") {
      other.destination_port = 1;
    }
    SUBCASE("another address") {
      other.destination_host = 3;
    }
    SUBCASE("a longer payload") {
      other.payload = Bytes(21, 1);
    }
    SUBCASE("an empty payload") {
      other.payload.clear();
    }
    SUBCASE("TCP") {
      other.protocol = kTcp;
    }
    SUBCASE("a tag") {
      other.tags = 1;
    }
    if (other.bytes() != plain.bytes()) CHECK(joined_of(plain, other) == 1);

    const auto refuses = [&](const std::function<void(Frame&)>& change) {
      CHECK(joined_of(plain, plain, change) == 1);
    };
    refuses([](Frame& frame) { frame.data[0] ^= 4; });               // another MAC
    refuses([](Frame& frame) { frame.headers.layer4_offset = 0; });  // not parsed
    refuses([](Frame& frame) { frame.headers.fragment = true; });
    refuses([](Frame& frame) { frame.offload = {}; });  // a checksum nobody vouches for
    refuses([](Frame& frame) { frame.offload.kind = Offload::kUdp; });
    refuses([](Frame& frame) { frame.offload.checksum_offset = 16; });
    refuses([&](Frame& frame) { frame.data[udp + 6] ^= 1; });  // a wrong pseudo-header sum
    refuses([&](Frame& frame) { frame.data[udp + 5]--; });     // lengths that disagree
    refuses([&](Frame& frame) { frame.data[ip + (ipv6 ? 5 : 3)]--; });
    refuses([](Frame& frame) { frame.length++; });  // padding
    if (!ipv6) {
      refuses([&](Frame& frame) { frame.data[ip + 6] = 0x20; });  // more fragments
      refuses([&](Frame& frame) { frame.data[ip + 6] = 0x80; });  // the reserved flag
    }
  }
}

TEST_CASE("without DF the identification must count up by one") {
  Datagram first{.id = 65535, .dont_fragment = false, .payload = Bytes(20, 1)};
  Datagram second = first;
  CHECK(joined_of(first, second) == 1);
  second.id = 0;
  CHECK(joined_of(first, second) == 2);
  second.id = 1;
  CHECK(joined_of(first, second) == 1);
}

TEST_CASE("a datagram without a checksum is not joined") {
  const Datagram plain{.payload = Bytes(20, 1), .partial = false};
  REQUIRE(joined_of(plain, plain) == 2);
  CHECK(joined_of(plain, plain, [&](Frame& frame) { std::memset(frame.data + plain.layer4() + 6, 0, 2); }) == 1);
}

}  // namespace
}  // namespace headgate::test
