// Captures: what is written is read again, both byte orders and resolutions are understood, and no malformed
// file gets through or reads beyond its end.
#include "ports/pcap.h"

#include <doctest/doctest.h>

#include "test/files.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

struct File {
  std::string error;

  std::optional<std::vector<PcapFrame>> read(const Bytes& bytes) {
    error.clear();
    const Bytes exact(bytes);  // a buffer that ends with the file, so that sanitizers see what goes beyond
    return parse_pcap(exact, "in", error);
  }
};

void put32(Bytes& bytes, uint32_t value, bool big_endian) {
  for (int i = 0; i < 4; i++) bytes.push_back(static_cast<uint8_t>(value >> 8 * (big_endian ? 3 - i : i)));
}

// One frame of 4 bytes at 10 s and `fraction` units.
Bytes small_capture(uint32_t magic, bool big_endian, uint32_t fraction, uint32_t link = 1) {
  Bytes bytes;
  put32(bytes, magic, big_endian);
  if (big_endian) {
    bytes.insert(bytes.end(), {0, 2, 0, 4});
  } else {
    bytes.insert(bytes.end(), {2, 0, 4, 0});
  }
  for (const uint32_t word : {0u, 0u, 65535u, link, 10u, fraction, 4u, 4u}) put32(bytes, word, big_endian);
  bytes.insert(bytes.end(), {1, 2, 3, 4});
  return bytes;
}

TEST_CASE("captures in both byte orders and resolutions are read") {
  File file;
  for (const bool big_endian : {false, true}) {
    for (const uint32_t magic : {0xa1b2c3d4u, 0xa1b23c4du}) {
      CAPTURE(big_endian);
      CAPTURE(magic);
      const auto frames = file.read(small_capture(magic, big_endian, 5));
      REQUIRE_MESSAGE(frames, file.error);
      REQUIRE(frames->size() == 1);
      CHECK((*frames)[0].bytes == Bytes{1, 2, 3, 4});
      CHECK((*frames)[0].time == 10'000'000'000 + (magic == 0xa1b2c3d4 ? 5000 : 5));
    }
  }
}

TEST_CASE("what is written is read again") {
  TestFiles files;
  std::string error;
  {
    const auto writer = PcapWriter::open(files.path("out"), error);
    REQUIRE_MESSAGE(writer, error);
    CHECK(writer->write(1, plain_frame(60)));
    CHECK(writer->write(1'700'000'000'123'456'789, Bytes(kMaxFrame, 7)));
    CHECK(writer->write(2, {}));
  }
  const auto frames = read_pcap(files.path("out"), error);
  REQUIRE_MESSAGE(frames, error);
  REQUIRE(frames->size() == 3);
  CHECK((*frames)[0].bytes == plain_frame(60));
  CHECK((*frames)[1].time == 1'700'000'000'123'456'789);
  CHECK((*frames)[1].bytes == Bytes(kMaxFrame, 7));
  CHECK((*frames)[2].bytes.empty());
}

TEST_CASE("a malformed capture is an error that names the byte") {
  File file;
  const Bytes good = small_capture(0xa1b2c3d4, false, 5);
  Bytes bad = good;
  std::string wanted;
  SUBCASE("empty") {
    bad.clear();
    wanted = "byte 0: shorter than the header";
  }
  SUBCASE("header cut off") {
    bad.resize(23);
    wanted = "byte 0: shorter than the header";
  }
  SUBCASE("another format") {
    bad[0] = 0;
    wanted = "byte 0: no classic pcap file";
  }
  SUBCASE("another link type") {
    bad = small_capture(0xa1b2c3d4, false, 5, 113);
    wanted = "byte 20: link type 113 is not Ethernet";
  }
  SUBCASE("record header cut off") {
    bad.resize(39);
    wanted = "byte 24: a record header is cut off";
  }
  SUBCASE("a fraction of a second or more") {
    bad = small_capture(0xa1b2c3d4, false, 1'000'000);
    wanted = "byte 28: a fraction";
  }
  SUBCASE("frame cut off") {
    bad.pop_back();
    wanted = "byte 40: a frame is cut off";
  }
  SUBCASE("a frame longer than the file") {
    bad[32] = bad[36] = 5;
    wanted = "byte 40: a frame is cut off";
  }
  SUBCASE("a frame longer than any") {
    bad[35] = 0xff;
    wanted = "byte 32: a frame of";
  }
  SUBCASE("cut off by the capture") {
    bad[36] = 100;
    wanted = "byte 36: a frame was cut off when it was captured";
  }
  CHECK_FALSE(file.read(bad));
  INFO(file.error);
  CHECK(file.error.find(wanted) != std::string::npos);
  REQUIRE(file.read(good));
}

TEST_CASE("no mutation of a capture reads beyond its end") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "no mutation of a capture reads beyond its end"));
  std::mt19937 random(seed);
  File file;
  Bytes good = small_capture(0xa1b2c3d4, false, 5);
  for (int i = 0; i < 3; i++) good.insert(good.end(), good.begin() + 24, good.begin() + 44);
  REQUIRE(file.read(good)->size() == 4);
  for (int round = 0; round < 20000; round++) {
    Bytes bad = good;
    for (unsigned i = 0; i <= random() % 4; i++) bad[random() % bad.size()] = static_cast<uint8_t>(random());
    if (random() % 2) bad.resize(random() % bad.size());
    const auto frames = file.read(bad);
    REQUIRE(frames.has_value() == file.error.empty());
    size_t total = 0;
    for (const PcapFrame& frame : frames.value_or(std::vector<PcapFrame>{})) total += 16 + frame.bytes.size();
    if (frames) REQUIRE(total + 24 == bad.size());
  }
}

TEST_CASE("a missing capture and a folder that cannot be written are errors") {
  std::string error;
  CHECK_FALSE(read_pcap("/nonexistent/x.pcap", error));
  CHECK(error == "Capture /nonexistent/x.pcap cannot be read: ENOENT (No such file or directory)");
  CHECK(PcapWriter::open("/nonexistent/x.pcap", error) == nullptr);
  CHECK(error == "Capture /nonexistent/x.pcap cannot be written: ENOENT (No such file or directory)");
}

TEST_CASE("a replay stamps what it sends with the time of what it received, and takes no super-frames") {
  TestFiles files;
  std::string error;
  {
    const auto writer = PcapWriter::open(files.path("in"), error);
    for (uint64_t i = 1; i <= 3; i++) writer->write(i * 1000, plain_frame(60, static_cast<uint32_t>(i)));
  }
  const auto port = open_pcap(files.path("in"), files.path("out"), error);
  REQUIRE_MESSAGE(port, error);
  CHECK(port->time() == 1000);
  Batch batch(2);
  REQUIRE(port->receive(0, batch.frames()) == 2);
  CHECK(port->time() == 3000);
  batch.set(1, Datagram{.payload = Bytes(20)});  // with a partial checksum
  Reason outcomes[2];
  port->transmit(0, batch.frames(), outcomes);
  CHECK(outcomes[0] == Reason::kNone);
  CHECK(outcomes[1] == Reason::kOutputUnsegmentable);
  REQUIRE(port->receive(0, batch.frames()) == 1);
  CHECK(port->finished());
  REQUIRE(port->flush());
  const auto sent = read_pcap(files.path("out"), error);
  REQUIRE_MESSAGE(sent, error);
  REQUIRE(sent->size() == 1);
  CHECK((*sent)[0].time == 2000);
}

}  // namespace
}  // namespace headgate::test
