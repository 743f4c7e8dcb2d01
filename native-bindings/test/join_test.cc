// Segments joined into super-frames: cutting what comes out gives back what went in, whatever that was; and frames that
// come without a checksum, from a tunnel device of the same kernel.
#include "ports/join.h"

#include <doctest/doctest.h>

#include <functional>

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/segment.h"
#include "packet/wire.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr uint32_t kMost = 1464;

TunnelHop hop(uint8_t host = 2, uint32_t key = 7) {
  TunnelHop hop;
  hop.remote.bytes[15] = host;
  hop.key = key;
  return hop;
}

// What the kernel at the far end would get of a frame that a port was given.
std::vector<Bytes> cut(Frame& frame, FramePool& pool) {
  // A frame that stays alone may have a wrong checksum, which is not what is looked at here.
  if (!frame.offload.partial_checksum) frame.offload.checksum_valid = true;
  REQUIRE(parse(frame) == Reason::kNone);
  if (frame.offload.kind == Offload::kNone) {
    checksum_complete(frame);
    return {Bytes(frame.data, frame.data + frame.length)};
  }
  std::vector<Bytes> all;
  Frame* piece = pool.acquire();
  for (uint32_t i = 0; i < frame.headers.wire_packets; ++i) {
    build_segment(frame, i, *piece);
    all.emplace_back(piece->data, piece->data + piece->length);
  }
  pool.release(piece);
  return all;
}

struct Joined {
  size_t frames = 0;
  std::vector<Bytes> pieces;  // of all, cut again
};

Joined join_all(const std::vector<Bytes>& packets, const std::vector<TunnelHop>& hops = {}) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < packets.size(); ++i)
    pieces.push_back({packets[i].data(), static_cast<uint32_t>(packets[i].size()), i < hops.size() ? hops[i] : hop()});
  FramePool pool(2);
  Frame* out = pool.acquire();
  Joined joined;
  for (size_t at = 0; at < pieces.size(); ++joined.frames) {
    FramePool::clear(*out);
    const size_t count = join(std::span(pieces).subspan(at), kMost, *out);
    REQUIRE(count > 0);
    CHECK(out->hop.remote == pieces[at].hop.remote);
    CHECK(out->hop.key == pieces[at].hop.key);
    at += count;
    for (Bytes& piece : cut(*out, pool)) joined.pieces.push_back(std::move(piece));
  }
  return joined;
}

// Segments of one TCP connection, as a host sends them.
std::vector<Bytes> train(size_t count, size_t size, size_t last, bool ipv6, bool dont_fragment = true) {
  std::vector<Bytes> all;
  for (size_t i = 0; i < count; ++i) {
    Packet p;
    p.protocol = kTcp;
    if (ipv6) p.source = "fd00::1", p.destination = "fd00::2";
    p.sequence = static_cast<uint32_t>(0xfffff000 + i * size);
    p.id = static_cast<uint32_t>(100 + i);
    p.dont_fragment = dont_fragment;
    p.tcp_options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    p.tcp_flags = i + 1 == count ? kAck | kPsh : kAck;
    p.payload.resize(i + 1 == count ? last : size);
    for (size_t k = 0; k < p.payload.size(); ++k) p.payload[k] = static_cast<uint8_t>(i * 31 + k);
    all.push_back(p.bytes());
  }
  return all;
}

TEST_CASE("a train of segments becomes one super-frame, and cutting it gives the train") {
  for (bool ipv6 : {false, true})
    for (bool dont_fragment : {false, true})
      for (size_t last : {1u, 700u, 1398u}) {
        const auto packets = train(45, 1398, last, ipv6, dont_fragment);
        const Joined joined = join_all(packets);
        CHECK(joined.frames == 1);
        CHECK(joined.pieces == packets);
      }
}

TEST_CASE("a super-frame is no longer than 64 KiB of IP") {
  const auto packets = train(60, 1398, 1398, false);
  const Joined joined = join_all(packets);
  CHECK(joined.frames == 2);
  CHECK(joined.pieces == packets);
}

TEST_CASE("what differs in anything stays apart") {
  const auto good = train(3, 500, 500, false);
  auto apart = [&](const std::function<void(Bytes&)>& change) {
    auto packets = good;
    change(packets[1]);
    fix_ipv4(packets[1]);
    const size_t l4 = 34;
    put16(packets[1], l4 + 16, 0);
    put16(packets[1], l4 + 16,
          static_cast<uint16_t>(~fold(pseudo_sum(packets[1], 14, kTcp, packets[1].size() - l4) +
                                      sum_words(packets[1], l4, packets[1].size()))));
    const Joined joined = join_all(packets);
    CHECK(joined.pieces == packets);
    return joined.frames == 3;
  };
  CHECK_FALSE(apart([](Bytes&) {}));
  CHECK(apart([](Bytes& b) { b[0] ^= 2; }));  // MACs
  CHECK(apart([](Bytes& b) { b[11] ^= 2; }));
  CHECK(apart([](Bytes& b) { b[15] ^= 4; }));  // TOS
  CHECK(apart([](Bytes& b) { b[22] ^= 1; }));  // TTL
  CHECK(apart([](Bytes& b) { b[29] ^= 1; }));  // addresses
  CHECK(apart([](Bytes& b) { b[33] ^= 1; }));
  CHECK(apart([](Bytes& b) { b[35] ^= 1; }));     // ports
  CHECK(apart([](Bytes& b) { b[41] ^= 1; }));     // sequence
  CHECK(apart([](Bytes& b) { b[45] ^= 1; }));     // acknowledgement
  CHECK(apart([](Bytes& b) { b[47] |= 0x40; }));  // ECE
  CHECK(apart([](Bytes& b) { b[49] ^= 1; }));     // window
  CHECK(apart([](Bytes& b) { b[65] ^= 1; }));     // an option
}

TEST_CASE("a segment with a wrong checksum is not hidden in a super-frame") {
  for (size_t bad : {0u, 1u, 2u}) {
    auto packets = train(3, 500, 500, false);
    packets[bad][100] ^= 1;
    const Joined joined = join_all(packets);
    CHECK(joined.pieces == packets);
    CHECK(joined.frames >= 2);
  }
}

TEST_CASE("frames of other remotes, keys, or none are not joined") {
  const auto packets = train(2, 500, 500, false);
  CHECK(join_all(packets, {hop(2), hop(3)}).frames == 2);
  CHECK(join_all(packets, {hop(2, 7), hop(2, 8)}).frames == 2);
  CHECK(join_all(packets, {hop(), hop()}).frames == 1);
}

TEST_CASE("whatever comes, cutting gives it back") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "whatever comes, cutting gives it back"));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Bytes> packets;
    while (packets.size() < 12) {
      auto more = train(1 + random() % 6, 10 + random() % 300, 1 + random() % 10, random() % 2, random() % 2);
      for (Bytes& packet : more) {
        // A byte behind the Ethernet header that leaves lengths and versions alone.
        if (random() % 6 == 0) packet[54 + random() % (packet.size() - 54)] ^= static_cast<uint8_t>(1 << random() % 8);
        packets.push_back(std::move(packet));
      }
    }
    std::vector<Bytes> sound;
    FramePool pool(2);
    for (const Bytes& packet : packets) {
      Frame* frame = pool.acquire();
      frame->length = static_cast<uint32_t>(packet.size());
      std::copy(packet.begin(), packet.end(), frame->data);
      frame->offload.checksum_valid = true;
      if (parse(*frame) == Reason::kNone) sound.push_back(packet);
      pool.release(frame);
    }
    REQUIRE(join_all(sound).pieces == sound);
  }
}

TEST_CASE("a frame whose checksum was left undone gets it; one that is too long is a super-frame") {
  FramePool pool(2);
  Frame* out = pool.acquire();
  for (bool ipv6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp})
      for (size_t size : {100u, 20'000u}) {
        Packet p;
        p.protocol = protocol;
        p.dont_fragment = true;
        if (ipv6) p.source = "fd00::1", p.destination = "fd00::2";
        p.payload.assign(size, 0x5a);
        p.partial = true;
        const Bytes undone = p.bytes();
        FramePool::clear(*out);
        const Piece piece{undone.data(), static_cast<uint32_t>(undone.size()), hop()};
        REQUIRE(join(std::span(&piece, 1), kMost, *out) == 1);
        CHECK(out->offload.partial_checksum);
        const auto pieces = cut(*out, pool);
        const bool is_super = protocol == kTcp && size > kMost;
        CHECK((pieces.size() > 1) == is_super);
        if (is_super) {
          CHECK(pieces[0].size() == kMost);
          continue;
        }
        p.partial = false;
        CHECK(pieces == std::vector<Bytes>{p.bytes()});
      }
}

TEST_CASE("what has no inner frame is handed on with its reason") {
  FramePool pool(1);
  Frame* out = pool.acquire();
  Piece piece;
  piece.hop.refused = Reason::kGreNoKey;
  CHECK(join(std::span(&piece, 1), kMost, *out) == 1);
  CHECK(out->length == 0);
  CHECK(out->hop.refused == Reason::kGreNoKey);
}

}  // namespace
}  // namespace headgate::test
