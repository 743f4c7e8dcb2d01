// The wire form of Offload: the 10-byte virtio_net_hdr (virtio 1.2, 5.1.6, without num_buffers) that TAP
// devices and packet sockets put before every frame. It stands in the headroom directly before Frame::data,
// so that one read or write moves header and frame from one contiguous buffer. Its fields are little-endian.
#pragma once

#include <bit>
#include <cstring>

#include "packet/frame.h"

namespace headgate {

// linux/virtio_net.h declares the same, but is no valid C++.
struct WireOffload {
  static constexpr uint8_t kNeedsChecksum = 1;  // in flags
  static constexpr uint8_t kChecksumValid = 2;
  static constexpr uint8_t kEcn = 0x80;  // in kind
  uint8_t flags;
  uint8_t kind;
  uint16_t header_length;
  uint16_t segment_size;
  uint16_t checksum_start;
  uint16_t checksum_offset;
};

constexpr uint32_t kWireOffload = sizeof(WireOffload);
static_assert(kWireOffload == 10 && kWireOffload <= kHeadroom);
static_assert(std::endian::native == std::endian::little, "WireOffload is used in host byte order");

// An unknown kind is kept as it is: the parse stage judges it.
inline Offload read_offload(const uint8_t* from) {
  WireOffload wire;
  std::memcpy(&wire, from, kWireOffload);
  Offload offload;
  offload.kind = static_cast<Offload::Kind>(wire.kind & ~WireOffload::kEcn);
  offload.ecn = (wire.kind & WireOffload::kEcn) != 0;
  offload.partial_checksum = (wire.flags & WireOffload::kNeedsChecksum) != 0;
  offload.checksum_valid = (wire.flags & WireOffload::kChecksumValid) != 0;
  offload.header_length = wire.header_length;
  offload.segment_size = wire.segment_size;
  offload.checksum_start = wire.checksum_start;
  offload.checksum_offset = wire.checksum_offset;
  return offload;
}

// Writes kWireOffload bytes. Fields that the flags make meaningless are written as zero.
inline void write_offload(const Offload& offload, uint8_t* to) {
  WireOffload wire{};
  if (offload.kind != Offload::kNone) {
    wire.kind = static_cast<uint8_t>(offload.kind | (offload.ecn ? WireOffload::kEcn : 0));
    wire.header_length = offload.header_length;
    wire.segment_size = offload.segment_size;
  }
  if (offload.partial_checksum) {
    wire.flags = WireOffload::kNeedsChecksum;
    wire.checksum_start = offload.checksum_start;
    wire.checksum_offset = offload.checksum_offset;
  } else if (offload.checksum_valid) {
    wire.flags = WireOffload::kChecksumValid;
  }
  std::memcpy(to, &wire, kWireOffload);
}

}  // namespace headgate
