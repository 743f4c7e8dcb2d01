// Every encapsulation: the bytes it writes, that it reads what it wrote, and each header that it refuses, with its
// reason.
#include "packet/encapsulation/encapsulation.h"

#include <doctest/doctest.h>

#include <random>

#include "packet/checksum.h"
#include "packet/wire.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

struct Made {
  Encapsulator own;
  Bytes header;
};

Made make(const Encapsulation& encapsulation, uint32_t key, const EncapsulationOptions& options = {}) {
  Made made;
  std::string error;
  REQUIRE_MESSAGE(encapsulation.prepare(options, made.own, error), error);
  made.header.resize(made.own.length);
  encapsulation.write(made.own, key, made.header.data());
  return made;
}

Reason read(const Encapsulation& encapsulation, const Bytes& bytes, const EncapsulationOptions& options = {}) {
  Encapsulated found;
  // On the heap and exactly as long, so that a sanitizer sees what reads beyond it.
  const std::vector<uint8_t> copy(bytes);
  return encapsulation.read(make(encapsulation, 0, options).own, copy, found);
}

Bytes with(Bytes bytes, size_t at, uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}

const Bytes kInner(60, 0xaa);

Bytes packet(const Made& made) {
  Bytes all = made.header;
  all.insert(all.end(), kInner.begin(), kInner.end());
  return all;
}

// Class 0x0102, type 3, 4 bytes; class 0x0102, critical type 0x84, none.
const EncapsulationOptions kGeneveOptions{{0x01, 0x02, 0x03, 0x01, 1, 2, 3, 4}};
const EncapsulationOptions kGeneveCritical{{0x01, 0x02, 0x84, 0x00}};
// Class 0x0001, type 2, 5 bytes and 3 of padding.
const EncapsulationOptions kNshHeaders{{0x00, 0x01, 0x02, 0x05, 1, 2, 3, 4, 5, 0, 0, 0}};
const EncapsulationOptions kNshContext{Bytes(16, 0x77), 1};

TEST_CASE("headers are those of the RFCs") {
  CHECK(make(kVxlan, 0x123456).header == Bytes{0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0});
  CHECK(make(kGre, 0x12345678).header == Bytes{0x20, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 0x78});
  CHECK(make(kNvgre, 0x123456).header == Bytes{0x20, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 0});
  CHECK(make(kGeneve, 0x123456).header == Bytes{0, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 0});
  CHECK(make(kGeneve, 7, kGeneveOptions).header ==
        Bytes{2, 0, 0x65, 0x58, 0, 0, 7, 0, 0x01, 0x02, 0x03, 0x01, 1, 2, 3, 4});
  CHECK(make(kGeneve, 7, kGeneveCritical).header == Bytes{1, 0x40, 0x65, 0x58, 0, 0, 7, 0, 0x01, 0x02, 0x84, 0x00});
  // TTL 63, two words, type 2, Ethernet; path 0x123456, index 255.
  const Bytes nsh{0x0f, 0xc2, 0x02, 0x03, 0x12, 0x34, 0x56, 0xff};
  CHECK(make(kNshEthernet, 0x123456ff).header == nsh);
  Bytes over_gpe{0x0c, 0, 0, 4, 0x12, 0x34, 0x56, 0};
  over_gpe.insert(over_gpe.end(), nsh.begin(), nsh.end());
  CHECK(make(kNsh, 0x123456ff).header == over_gpe);
  const Bytes one = make(kNshEthernet, 1 << 8 | 9, kNshContext).header;
  CHECK(Bytes(one.begin(), one.begin() + 8) == Bytes{0x0f, 0xc6, 0x01, 0x03, 0, 0, 1, 9});
  CHECK(one.size() == 24);
}

TEST_CASE("what is written is read again: key, place of the frame, metadata") {
  std::mt19937 random(7);
  for (const Encapsulation* encapsulation : encapsulations()) {
    std::vector<EncapsulationOptions> all{{}};
    if (encapsulation == &kGeneve) all.insert(all.end(), {kGeneveOptions, kGeneveCritical, {Bytes(252, 0)}});
    if (encapsulation == &kNsh || encapsulation == &kNshEthernet)
      all.insert(all.end(), {kNshHeaders, kNshContext, {Bytes(244, 0)}});
    for (const EncapsulationOptions& options : all)
      for (int i = 0; i < 100; ++i) {
        uint32_t key = random() & encapsulation->most_key;
        if (encapsulation == &kNsh || encapsulation == &kNshEthernet) key |= 1;  // a service index
        const Made made = make(*encapsulation, key, options);
        const Bytes bytes = packet(made);
        Encapsulated found;
        CAPTURE(encapsulation->name);
        REQUIRE(encapsulation->read(made.own, bytes, found) == Reason::kNone);
        CHECK(found.key == key);
        CHECK(found.inner == made.header.size());
        CHECK(found.metadata_length == options.metadata.size());
        CHECK(Bytes(bytes.begin() + found.metadata, bytes.begin() + found.metadata + found.metadata_length) ==
              options.metadata);
        CHECK(made.own.length <= kMostEncapsulation);
      }
    CHECK(find_encapsulation(encapsulation->name) == encapsulation);
  }
  CHECK_FALSE(find_encapsulation("stt"));
}

TEST_CASE("a header that is cut off anywhere is truncated") {
  for (const Encapsulation* encapsulation : encapsulations()) {
    const bool nsh = encapsulation == &kNsh || encapsulation == &kNshEthernet;
    const EncapsulationOptions options = encapsulation == &kGeneve ? kGeneveOptions
                                         : nsh                     ? kNshHeaders
                                                                   : EncapsulationOptions{};
    const Bytes whole = make(*encapsulation, 1, options).header;
    CAPTURE(encapsulation->name);
    for (size_t length = 0; length < whole.size(); ++length) {
      CAPTURE(length);
      CHECK(read(*encapsulation, Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))) ==
            Reason::kTunnelTruncated);
    }
  }
}

TEST_CASE("VXLAN: reserved bits are ignored, the flag of the VNI is not") {
  const Bytes good = packet(make(kVxlan, 5));
  CHECK(read(kVxlan, with(good, 0, 0)) == Reason::kVxlanNoVni);
  CHECK(read(kVxlan, with(good, 0, 0xf7)) == Reason::kVxlanNoVni);
  CHECK(read(kVxlan, with(with(good, 0, 0xff), 7, 0xff)) == Reason::kNone);
}

TEST_CASE("GRE: version, flags, key, protocol and checksum") {
  const Bytes good = packet(make(kGre, 5));
  for (uint8_t version = 1; version < 8; ++version) CHECK(read(kGre, with(good, 1, version)) == Reason::kGreBadVersion);
  for (uint8_t bit : {0x40, 0x08, 0x04}) CHECK(read(kGre, with(good, 0, 0x20 | bit)) == Reason::kGreBadFlags);
  CHECK(read(kGre, with(good, 0, 0x22)) == Reason::kNone);  // reserved bits that a receiver ignores
  CHECK(read(kGre, with(good, 0, 0)) == Reason::kGreNoKey);
  CHECK(read(kGre, with(good, 2, 0x08)) == Reason::kTunnelNotEthernet);

  Bytes summed{0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 9};  // checksum, key and sequence number
  summed.insert(summed.end(), kInner.begin(), kInner.end());
  store16(&summed[4], checksum_finish(checksum_add(summed.data(), static_cast<uint32_t>(summed.size()))));
  Encapsulated found;
  REQUIRE(kGre.read(make(kGre, 0).own, summed, found) == Reason::kNone);
  CHECK(found.key == 42);
  CHECK(found.inner == 16);
  CHECK(read(kGre, with(summed, 20, 0)) == Reason::kGreBadChecksum);
  CHECK(read(kGre, Bytes(summed.begin(), summed.begin() + 15)) == Reason::kTunnelTruncated);
  // NVGRE has neither.
  CHECK(read(kNvgre, summed) == Reason::kGreBadFlags);
  CHECK(read(kNvgre, with(good, 0, 0x30)) == Reason::kGreBadFlags);
  CHECK(read(kNvgre, with(good, 7, 0xee)) == Reason::kNone);  // a flow id
}

TEST_CASE("Geneve: version, control packets, protocol, options") {
  const Bytes good = packet(make(kGeneve, 5, kGeneveOptions));
  CHECK(read(kGeneve, with(good, 0, 0x42)) == Reason::kGeneveBadVersion);
  CHECK(read(kGeneve, with(good, 1, 0x80)) == Reason::kTunnelControl);
  CHECK(read(kGeneve, with(good, 3, 0)) == Reason::kTunnelNotEthernet);
  CHECK(read(kGeneve, with(good, 11, 2)) == Reason::kGeneveBadOption);  // longer than the options
  CHECK(read(kGeneve, with(good, 0, 3)) == Reason::kGeneveBadOption);   // an option made of the inner frame
  CHECK(read(kGeneve, with(good, 11, 0xe1)) == Reason::kNone);          // reserved bits
  const Bytes critical = packet(make(kGeneve, 5, kGeneveCritical));
  CHECK(read(kGeneve, critical) == Reason::kGeneveCriticalOption);
  CHECK(read(kGeneve, critical, kGeneveCritical) == Reason::kNone);                              // the tunnel's own
  CHECK(read(kGeneve, with(critical, 1, 0), kGeneveCritical) == Reason::kGeneveCriticalOption);  // not announced
  CHECK(read(kGeneve, with(critical, 10, 0x85), kGeneveCritical) == Reason::kGeneveCriticalOption);
}

TEST_CASE("NSH: version, OAM, length, metadata, TTL, service index, next protocol") {
  const Bytes good = packet(make(kNshEthernet, 5 << 8 | 3, kNshHeaders));
  CHECK(read(kNshEthernet, with(good, 0, 0x4f)) == Reason::kNshBadVersion);
  CHECK(read(kNshEthernet, with(good, 0, 0x2f)) == Reason::kTunnelControl);
  CHECK(read(kNshEthernet, with(good, 1, 0xc1)) == Reason::kNshBadLength);
  CHECK(read(kNshEthernet, with(good, 2, 3)) == Reason::kNshBadMetadata);
  CHECK(read(kNshEthernet, with(good, 2, 1)) == Reason::kNshBadMetadata);   // type 1 has 16 bytes
  CHECK(read(kNshEthernet, with(good, 11, 9)) == Reason::kNshBadMetadata);  // runs beyond the header
  CHECK(read(kNshEthernet, with(with(good, 11, 1), 19, 1)) == Reason::kNshBadMetadata);
  CHECK(read(kNshEthernet, with(with(good, 0, 0), 1, 0x05)) == Reason::kNshExpired);
  CHECK(read(kNshEthernet, with(good, 7, 0)) == Reason::kNshExpired);
  CHECK(read(kNshEthernet, with(good, 3, 1)) == Reason::kTunnelNotEthernet);
  CHECK(read(kNshEthernet, with(packet(make(kNshEthernet, 5 << 8 | 3, kNshContext)), 1, 0xc5)) ==
        Reason::kNshBadMetadata);

  const Bytes over = packet(make(kNsh, 5 << 8 | 3));
  CHECK(read(kNsh, with(over, 0, 0x1c)) == Reason::kVxlanGpeNotNsh);
  CHECK(read(kNsh, with(over, 0, 0x08)) == Reason::kVxlanGpeNotNsh);
  CHECK(read(kNsh, with(over, 3, 3)) == Reason::kVxlanGpeNotNsh);
  CHECK(read(kNsh, with(over, 0, 0x0d)) == Reason::kTunnelControl);
  CHECK(read(kNsh, with(over, 0, 0x04)) == Reason::kVxlanNoVni);
  CHECK(read(kNsh, with(over, 8, 0x4f)) == Reason::kNshBadVersion);
}

TEST_CASE("options that no header can carry are refused before there is a tunnel") {
  auto refused = [](const Encapsulation& encapsulation, const EncapsulationOptions& options) {
    Encapsulator out;
    std::string error;
    const bool made = encapsulation.prepare(options, out, error);
    CHECK(made == error.empty());
    return !made;
  };
  CHECK(refused(kVxlan, kGeneveOptions));
  CHECK(refused(kGre, kGeneveOptions));
  CHECK(refused(kNvgre, kGeneveOptions));
  CHECK(refused(kGeneve, {Bytes(256, 0)}));
  CHECK(refused(kGeneve, {Bytes(6, 0)}));
  CHECK(refused(kGeneve, {{0, 1, 2, 3}}));
  CHECK(refused(kNshEthernet, {Bytes(248, 0)}));
  CHECK(refused(kNshEthernet, {{0, 1, 2, 3}}));
  CHECK(refused(kNsh, {Bytes(12, 0), 1}));
  CHECK(refused(kNsh, {{}, 3}));
}

}  // namespace
}  // namespace headgate::test
