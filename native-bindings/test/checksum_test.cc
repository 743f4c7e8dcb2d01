// The Internet checksum against sums made word by word, and the completion of partial ones.
#include "packet/checksum.h"

#include <doctest/doctest.h>

#include "packet/parse.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

TEST_CASE("a checksum is the one of RFC 1071, whatever the length and the alignment") {
  const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};  // RFC 1071, 3
  CHECK(checksum_finish(checksum_add(example, sizeof example)) == static_cast<uint16_t>(~0xddf2));
  std::mt19937 random(1);
  for (size_t length = 0; length < 200; ++length) {
    for (size_t skip = 0; skip < 4; ++skip) {
      Bytes bytes(skip + length);
      for (uint8_t& b : bytes) b = static_cast<uint8_t>(length % 3 ? random() : 0xff);
      const uint16_t wanted = static_cast<uint16_t>(~fold(sum_words(bytes, skip, bytes.size())));
      REQUIRE(checksum_finish(checksum_add(bytes.data() + skip, static_cast<uint32_t>(length))) == wanted);
    }
  }
}

TEST_CASE("sums of pieces of even length add up") {
  const Bytes bytes = numbered_payload(1001, 5);
  const uint64_t pieces =
      checksum_add(bytes.data(), 2) + checksum_add(bytes.data() + 2, 600) + checksum_add(bytes.data() + 602, 399);
  CHECK(checksum_finish(pieces) == checksum_finish(checksum_add(bytes.data(), 1001)));
}

TEST_CASE("an IPv4 header gets its checksum, with options too") {
  Packet p;
  p.ip_options = Bytes(12, 1);
  Bytes frame = p.bytes();
  put16(frame, 24, 0xbeef);
  checksum_ipv4(frame.data() + 14);
  CHECK(frame == p.bytes());
}

TEST_CASE("a partial checksum is completed as hardware would, padding left out") {
  for (bool v6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp})
      for (size_t size : {0, 1, 7, 1400, 60000}) {
        Packet p;
        if (v6) p.source = "fd00::1", p.destination = "fd00::2";
        p.protocol = protocol;
        p.payload = numbered_payload(size, 3);
        p.partial = true;
        Batch batch(1);
        Bytes padded = p.bytes();
        padded.insert(padded.end(), 5, 0xaa);
        batch.set(0, padded, p.offload());
        Frame& frame = *batch.frames()[0];
        REQUIRE(parse(frame) == Reason::kNone);
        checksum_complete(frame);
        CHECK_FALSE(frame.offload.partial_checksum);
        Bytes done = batch.get(0).bytes;
        done.resize(done.size() - 5);
        p.partial = false;
        CHECK(done == p.bytes());
        CHECK(checksum_fault(done) == "");
      }
}

TEST_CASE("a UDP checksum of zero is sent as all ones") {
  Packet p;
  p.payload = {0, 0};
  // Found by trying: the payload that makes the sum zero.
  p.partial = false;
  const Bytes whole = p.bytes();
  p.payload = {static_cast<uint8_t>(get16(whole, 40) >> 8), static_cast<uint8_t>(get16(whole, 40))};
  REQUIRE(get16(p.bytes(), 40) == 0xffff);
  p.partial = true;
  Batch batch(1);
  batch.set(0, p.bytes(), p.offload());
  REQUIRE(parse(*batch.frames()[0]) == Reason::kNone);
  checksum_complete(*batch.frames()[0]);
  CHECK(get16(batch.get(0).bytes, 40) == 0xffff);
}

}  // namespace
}  // namespace headgate::test
