// Joins consecutive UDP datagrams of one flow into one super-frame before they are written, as generic
// receive offload does in the kernel (net/ipv4/udp_offload.c): a small frame costs its receiver some 3 us,
// nearly all of it per write, so one write for up to 64 datagrams is what decides packets per second.
//
// Datagrams are joined only if segmenting the super-frame (VIRTIO_NET_HDR_GSO_UDP_L4) gives them back byte
// for byte: same Ethernet header, addresses, ports, TOS, TTL and flow label, no IP options, extension
// headers, fragments or padding, payloads of one size (the last may be shorter), a checksum that is right or
// partial. The IPv4 identification must count up by one as segmentation makes it, or not matter because DF is
// set (RFC 6864).
#pragma once

#include <span>

#include "packet/frame.h"
#include "packet/virtio.h"

namespace headgate {

constexpr size_t kMaxSegments = 64;
// Ethernet, two tags, IPv6, UDP.
constexpr size_t kMaxSuperHeader = kWireOffload + 14 + 8 + 40 + 8;

struct SuperFrame {
  size_t frames = 1;            // how many of the given frames it joins; 1: write the first one as it is
  size_t header = 0;            // bytes of `bytes` in use: virtio-net header, Ethernet to UDP; the payloads follow it
  uint32_t headers_length = 0;  // Ethernet to UDP, the same in every frame: where the payload begins
  uint8_t bytes[kMaxSuperHeader];
};

// Says how many of `frames`, from the first on, go into one super-frame, and builds its header if more than
// one. Uses Frame::headers only for where IP and UDP begin; frames whose layer4_offset is 0 are not joined.
// Changes no frame.
void coalesce_udp(std::span<Frame* const> frames, SuperFrame& super);

}  // namespace headgate
