// Encapsulations: the header between the outer packet and the inner Ethernet frame. Each has a file of its own here,
// and one small interface: write the header for a key, or read it.
//
// The key says whose frame it is: VNI (VXLAN, Geneve), key (GRE), virtual subnet id (NVGRE), service path header (NSH:
// path id << 8 | service index). Outer IP and UDP headers are the kernel's work (ports/tunnel.h). `read` is the one
// gate for what comes from the underlay: every length, flag and option is checked there, once, and what it refuses has
// a reason of its own. Behind it the inner frame goes through the parse stage like any other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "packet/reasons.h"

namespace headgate {

// The longest header: NSH of 63 words (RFC 8300, 2.2) behind VXLAN-GPE; Geneve with all its options has 260 bytes.
constexpr uint32_t kMostEncapsulation = 264;

// What carries it, and what `number` is of: UDP port, IP protocol, EtherType.
enum class Carrier : uint8_t { kUdp, kIp, kEthernet };

// What else a tunnel puts into the headers that it writes, as it lies on the wire.
struct EncapsulationOptions {
  std::vector<uint8_t> metadata{};  // Geneve: options; NSH: context headers
  uint8_t md_type = 2;              // NSH: 1 has 16 bytes of context, 2 any number of headers (RFC 8300, 2.4 and 2.5)
};

// A header made ready for a tunnel, but for the key.
struct Encapsulator {
  uint32_t length = 0;
  uint8_t bytes[kMostEncapsulation];
};

// What `read` found: all of it inside the bytes that were read.
struct Encapsulated {
  uint32_t key = 0;
  uint32_t inner = 0;  // where the inner frame begins
  uint32_t metadata = 0;
  uint32_t metadata_length = 0;
};

struct Encapsulation {
  const char* name;  // as documents have it
  Carrier carrier;
  uint16_t number;
  uint32_t most_key;

  // False with `error` set when there is no such header.
  bool (*prepare)(const EncapsulationOptions& options, Encapsulator& out, std::string& error);
  // Writes `own.length` bytes. `key` is at most most_key.
  void (*write)(const Encapsulator& own, uint32_t key, uint8_t* to);
  // Reads the header at the front of `bytes`: all that is behind the outer headers. `own`: what is sent to the same
  // peers, for options that a receiver has to know (Geneve).
  Reason (*read)(const Encapsulator& own, std::span<const uint8_t> bytes, Encapsulated& found);
};

extern const Encapsulation kVxlan;        // RFC 7348
extern const Encapsulation kGeneve;       // RFC 8926
extern const Encapsulation kGre;          // RFC 2784, 2890
extern const Encapsulation kNvgre;        // RFC 7637
extern const Encapsulation kNsh;          // RFC 8300 over VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe)
extern const Encapsulation kNshEthernet;  // RFC 8300, EtherType 0x894f

std::span<const Encapsulation* const> encapsulations();
// Null if there is none of that name.
const Encapsulation* find_encapsulation(std::string_view name);

constexpr uint16_t kTransparentEthernet = 0x6558;  // what GRE and Geneve call an Ethernet frame

}  // namespace headgate
