// Resets and ICMP errors, field by field and with checksums summed by the test.
#include "packet/answer.h"

#include <doctest/doctest.h>

#include "packet/parse.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

// The answer's bytes, or none.
Bytes answer_to(const Packet& packet, bool (*build)(const Frame&, Frame&)) {
  Batch batch(2);
  batch.set(0, packet.bytes(), packet.offload());
  REQUIRE(parse(*batch.frames()[0]) == Reason::kNone);
  if (!build(*batch.frames()[0], *batch.frames()[1])) return {};
  const Bytes answer = batch.get(1).bytes;
  CHECK(checksum_fault(answer) == "");
  CHECK(parse(*batch.frames()[1]) == Reason::kNone);
  return answer;
}

Packet tcp(bool v6, uint8_t flags, size_t payload) {
  Packet p;
  if (v6) p.source = "fd00::1", p.destination = "fd00::2";
  p.protocol = kTcp;
  p.tcp_flags = flags;
  p.sequence = 0xfffffff0;
  p.acknowledgement = 777;
  p.payload = numbered_payload(payload, 1);
  return p;
}

// The frame that a host would send as a reset, built from the fields.
Bytes reset(const Packet& of, uint8_t flags, uint32_t sequence, uint32_t acknowledgement) {
  Packet r = of;
  r.tcp_flags = flags;
  r.sequence = sequence;
  r.acknowledgement = acknowledgement;
  r.payload.clear();
  r.dont_fragment = true;
  Bytes bytes = r.bytes();
  put16(bytes, r.layer4() + 14, 0);  // no window
  Bytes summed = bytes;
  const size_t sum = r.layer4() + 16;
  put16(bytes, sum, 0);
  const uint64_t pseudo = pseudo_sum(bytes, 14, kTcp, 20);
  put16(bytes, sum, static_cast<uint16_t>(~fold(pseudo + sum_words(bytes, r.layer4(), bytes.size()))));
  return bytes;
}

TEST_CASE("a SYN is reset to its sender as by a closed port") {
  for (bool v6 : {false, true}) {
    const Packet syn = tcp(v6, kSyn, 0);
    CHECK(answer_to(syn, build_reset_to_sender) == reset(syn.reversed(), kRst | kAck, 0, 0xfffffff1));
  }
}

TEST_CASE("a reset of a segment without ACK acknowledges its payload and FIN") {
  Packet data = tcp(false, kSyn, 100);
  CHECK(answer_to(data, build_reset_to_sender) == reset(data.reversed(), kRst | kAck, 0, 0xfffffff0u + 101));
}

TEST_CASE("a segment with ACK is reset at the number it acknowledges") {
  for (bool v6 : {false, true}) {
    const Packet data = tcp(v6, kAck | kPsh, 500);
    CHECK(answer_to(data, build_reset_to_sender) == reset(data.reversed(), kRst, 777, 0));
  }
}

TEST_CASE("a receiver is reset in the place of the segment") {
  for (bool v6 : {false, true}) {
    const Packet data = tcp(v6, kAck, 500);
    CHECK(answer_to(data, build_reset_to_receiver) == reset(data, kRst | kAck, 0xfffffff0, 777));
    Packet syn = tcp(v6, kSyn, 0);
    CHECK(answer_to(syn, build_reset_to_receiver) == reset(syn, kRst, 0xfffffff0, 777));
  }
}

TEST_CASE("no reset answers a reset, another protocol, or a group") {
  const Packet rst = tcp(false, kRst, 0);
  CHECK(answer_to(rst, build_reset_to_sender).empty());
  CHECK(answer_to(rst, build_reset_to_receiver).empty());
  CHECK(answer_to(Packet{}, build_reset_to_sender).empty());
  CHECK(answer_to(Packet{}, build_reset_to_receiver).empty());
  for (const char* group : {"224.0.0.1", "255.255.255.255"}) {
    Packet p = tcp(false, kSyn, 0);
    p.destination = group;
    CHECK(answer_to(p, build_reset_to_sender).empty());
  }
  Packet p = tcp(true, kSyn, 0);
  p.destination = "ff02::1";
  CHECK(answer_to(p, build_reset_to_sender).empty());
  Packet broadcast = tcp(false, kSyn, 0);
  broadcast.destination_mac.fill(0xff);
  CHECK(answer_to(broadcast, build_reset_to_sender).empty());
}

void check_prohibited(const Packet& p, size_t quoted) {
  const Bytes was = p.bytes(), answer = answer_to(p, build_prohibited);
  const bool v6 = p.ipv6();
  const size_t icmp = v6 ? 54 : 34;
  REQUIRE(answer.size() == icmp + 8 + quoted);
  CHECK(std::equal(&answer[0], &answer[6], &was[6]));
  CHECK(std::equal(&answer[6], &answer[12], &was[0]));
  CHECK(get16(answer, 12) == (v6 ? 0x86dd : 0x0800));
  CHECK(answer[v6 ? 20 : 23] == (v6 ? 58 : 1));
  CHECK(answer[v6 ? 21 : 22] == 64);
  const size_t size = v6 ? 16 : 4, source = v6 ? 22 : 26, destination = source + size;
  const size_t was_source = p.layer3() + (v6 ? 8 : 12);
  CHECK(std::equal(&answer[source], &answer[source] + size, &was[was_source] + size));
  CHECK(std::equal(&answer[destination], &answer[destination] + size, &was[was_source]));
  CHECK(answer[icmp] == (v6 ? 1 : 3));
  CHECK(answer[icmp + 1] == (v6 ? 1 : 13));
  CHECK(std::equal(answer.begin() + icmp + 8, answer.end(), was.begin() + p.layer3()));
}

TEST_CASE("communication prohibited quotes the packet's head") {
  Packet p;
  check_prohibited(p, 28);
  p.payload.resize(1000);
  check_prohibited(p, 28);
  p.ip_options = Bytes(40, 1);
  check_prohibited(p, 68);
  Packet v6;
  v6.source = "fd00::1", v6.destination = "fd00::2";
  check_prohibited(v6, 40 + 8 + 10);
  v6.payload.resize(5000);
  check_prohibited(v6, 1280 - 48);
  Packet gre;
  gre.protocol = 47;
  gre.payload = {1, 2};
  check_prohibited(gre, 22);
  Packet echo;
  echo.protocol = kIcmp;
  check_prohibited(echo, 28);
}

TEST_CASE("no ICMP error answers errors, later fragments, groups or hosts without an address") {
  Packet p;
  CHECK_FALSE(answer_to(p, build_prohibited).empty());
  for (uint8_t type : {3, 4, 5, 11, 12}) {
    Packet error;
    error.protocol = kIcmp;
    error.icmp_type = type;
    CHECK(answer_to(error, build_prohibited).empty());
  }
  Packet error6;
  error6.source = "fd00::1", error6.destination = "fd00::2";
  error6.protocol = kIcmp6;
  for (uint8_t type : {1, 2, 3, 4, 127}) {
    error6.icmp_type = type;
    CHECK(answer_to(error6, build_prohibited).empty());
  }
  error6.icmp_type = 128;
  CHECK_FALSE(answer_to(error6, build_prohibited).empty());
  Packet later;
  later.fragment_offset = 80;
  CHECK(answer_to(later, build_prohibited).empty());
  for (const char* group : {"224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0", "0.0.0.1", "127.0.0.1"}) {
    Packet to_group;
    to_group.destination = group;
    CHECK(answer_to(to_group, build_prohibited).empty());
  }
  for (const char* group : {"ff02::1", "::", "::1"}) {
    Packet to_group;
    to_group.source = "fd00::1", to_group.destination = group;
    CHECK(answer_to(to_group, build_prohibited).empty());
  }
  Packet broadcast;
  broadcast.destination_mac.fill(0xff);
  CHECK(answer_to(broadcast, build_prohibited).empty());
  Packet nobody;
  nobody.source = "0.0.0.0";
  CHECK(answer_to(nobody, build_prohibited).empty());
  Packet nobody6;
  nobody6.source = "::", nobody6.destination = "fd00::2";
  CHECK(answer_to(nobody6, build_prohibited).empty());
}

}  // namespace
}  // namespace headgate::test
