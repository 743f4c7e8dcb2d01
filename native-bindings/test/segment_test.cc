// Super-frames are cut into the very frames that a host would have sent one by one.
#include "packet/segment.h"

#include <doctest/doctest.h>

#include "packet/parse.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

Bytes part(const Bytes& payload, size_t from, size_t size) {
  return Bytes(payload.begin() + from, payload.begin() + std::min(payload.size(), from + size));
}

// What segment `i` should be: built alone, from the fields of the whole.
Bytes wanted_segment(const Packet& whole, size_t i, size_t size) {
  Packet one = whole;
  one.partial = false;
  one.payload = part(whole.payload, i * size, size);
  const bool last = i * size + one.payload.size() == whole.payload.size();
  one.sequence += static_cast<uint32_t>(i * size);
  if (!whole.ipv6()) one.id = static_cast<uint16_t>(whole.id + i);
  if (!last) one.tcp_flags &= static_cast<uint8_t>(~(kFin | kPsh));
  if (i) one.tcp_flags &= static_cast<uint8_t>(~128);  // CWR
  return one.bytes();
}

void check_cut(const Packet& whole, uint16_t size) {
  Batch batch(2);
  batch.set(0, whole.bytes(), whole.super_offload(size));
  Frame& super = *batch.frames()[0];
  REQUIRE(parse(super) == Reason::kNone);
  const size_t count = std::max<size_t>(1, (whole.payload.size() + size - 1) / size);
  REQUIRE(super.headers.wire_packets == count);
  for (uint32_t i = 0; i < count; ++i) {
    build_segment(super, i, *batch.frames()[1]);
    CAPTURE(i);
    REQUIRE(batch.get(1).bytes == wanted_segment(whole, i, size));
    CHECK(checksum_fault(batch.get(1).bytes) == "");
    CHECK(batch.frames()[1]->offload.kind == Offload::kNone);
    CHECK_FALSE(batch.frames()[1]->offload.partial_checksum);
    CHECK(parse(*batch.frames()[1]) == Reason::kNone);
  }
}

TEST_CASE("a TCP super-frame is cut as a host would have sent it") {
  for (bool v6 : {false, true})
    for (size_t payload : {1, 1447, 1448, 1449, 5000, 14480, 60000}) {
      Packet p;
      if (v6) p.source = "fd00::1", p.destination = "fd00::2";
      p.protocol = kTcp;
      p.tcp_flags = kAck | kPsh | kFin | 128;
      p.tcp_options = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
      p.sequence = 0xffffff00;  // wraps
      p.id = 0xfffe;
      p.partial = true;
      p.payload = numbered_payload(payload, 9);
      check_cut(p, 1448);
    }
}

TEST_CASE("a UDP super-frame is cut into datagrams of their own") {
  for (bool v6 : {false, true})
    for (size_t payload : {1, 1200, 1201, 12000}) {
      Packet p;
      if (v6) p.source = "fd00::1", p.destination = "fd00::2";
      p.id = 7;
      p.partial = true;
      p.payload = numbered_payload(payload, 2);
      check_cut(p, 1200);
    }
}

TEST_CASE("IPv4 options and IPv6 extension headers stand in every segment") {
  Packet v4, v6;
  v4.ip_options = {1, 1, 1, 1};
  v6.source = "fd00::1", v6.destination = "fd00::2";
  v6.extensions = {{60}, {60, Bytes(14)}};
  for (Packet p : {v4, v6}) {
    p.protocol = kTcp;
    p.partial = true;
    p.payload = numbered_payload(3000, 1);
    check_cut(p, 1000);
  }
}

TEST_CASE("padding behind a super-frame is in no segment") {
  Packet p;
  p.protocol = kTcp;
  p.partial = true;
  p.payload = numbered_payload(150, 1);
  Bytes padded = p.bytes();
  padded.resize(padded.size() + 30, 0xee);
  Batch batch(2);
  batch.set(0, padded, p.super_offload(100));
  REQUIRE(parse(*batch.frames()[0]) == Reason::kNone);
  REQUIRE(batch.frames()[0]->headers.wire_packets == 2);
  build_segment(*batch.frames()[0], 1, *batch.frames()[1]);
  CHECK(batch.get(1).bytes == wanted_segment(p, 1, 100));
}

}  // namespace
}  // namespace headgate::test
