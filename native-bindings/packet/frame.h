// A frame in its buffer, and what each stage has learned about it.
//
// A buffer holds the largest super-frame that a TAP device or packet socket hands over (64 KiB of IP behind
// Ethernet and two VLAN tags) with room before it for the virtio-net header and for tags to be pushed.
// Frames are owned by a FramePool and are lent to ports and stages as pointers; nobody else frees them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/headers.h"
#include "packet/reasons.h"

namespace headgate {

constexpr uint32_t kHeadroom = 128;
constexpr uint32_t kMaxFrame = 65536 + 14 + 8;
constexpr uint16_t kNoPort = 0xffff;

// The virtio-net header (virtio 1.2, 5.1.6) without its wire form: what a super-frame still owes.
// Fields are in host byte order. The parse stage checks it against the frame before anything relies on it.
struct Offload {
  enum Kind : uint8_t { kNone = 0, kTcp4 = 1, kUdpFragments = 3, kTcp6 = 4, kUdp = 5 };  // VIRTIO_NET_HDR_GSO_*
  Kind kind = kNone;
  bool ecn = false;               // VIRTIO_NET_HDR_GSO_ECN
  bool partial_checksum = false;  // the checksum at checksum_start + checksum_offset covers the pseudo-header only
  bool checksum_valid = false;    // the kernel says that the checksums are right
  uint16_t header_length = 0;     // Ethernet to the end of the TCP or UDP header
  uint16_t segment_size = 0;      // payload bytes of each segment
  uint16_t checksum_start = 0;    // from the first byte of the frame
  uint16_t checksum_offset = 0;
};

// Which part of its datagram a fragment is, in bytes behind what stands before its fragment header or offset.
struct FragmentPart {
  uint16_t offset = 0;
  uint16_t length = 0;
  bool more = false;  // it is not the last
};

// What a frame has to do with services (tables/services.h); all zero for most.
struct Passage {
  uint16_t tag = 0;  // place of the tag that it came in under, until it is where it left
  uint8_t hop = 0;   // that it comes back from
  uint32_t key = 0;  // that it is sent under
};

// The far end of a tunnel and what the encapsulation says beside the frame. The port sets it on frames that come in,
// and goes by it with frames that go out.
struct TunnelHop {
  Address remote;                  // of the outer packet; over Ethernet the link-local address made of the MAC
  uint32_t key = 0;                // packet/encapsulation/encapsulation.h
  bool fragment = false;           // sent: what is too long goes in fragments of the outer packet
  Reason refused = Reason::kNone;  // received: why there is no inner frame. Then the frame's length is 0
};

struct Bridge;
struct Connection;
struct Segment;
struct TraceRecord;
struct Workload;

struct Frame {
  uint8_t* buffer = nullptr;  // start of the buffer: kHeadroom bytes before the place a port reads to
  uint8_t* data = nullptr;    // first byte of the Ethernet header
  uint32_t length = 0;        // bytes from data on
  Offload offload;
  Headers headers;    // what parse found; valid from the parse stage on
  FragmentPart part;  // likewise, of fragments alone

  // Filled stage by stage.
  uint16_t port = kNoPort;                // where it came in
  uint32_t source_workload = 0;           // worker, on a trunk guard: place in the generation's workloads
  uint32_t destination_workload = 0;      // locate: likewise, or kManyOutputs
  const Workload* source = nullptr;       // likewise: the same, to save the look-up; of the running batch's generation
  const Segment* segment = nullptr;       // likewise: the source's
  const Workload* destination = nullptr;  // locate: likewise, null for kManyOutputs
  const Bridge* bridge = nullptr;         // guard: that it crosses an edge pair by; null: it crosses none
  uint16_t tracker = 0;                   // guard: of the source's segment, or of the bridge
  uint32_t bucket = 0;                    // steer: of the connection table, where its flow is found
  Connection* connection = nullptr;       // track
  bool reply = false;                     // track: it runs against the direction of the connection's first frame
  bool joined = false;                    // fragments: the ports of its first fragment are filled in
  Passage passage;                        // guard, services
  TunnelHop hop;                          // of frames of a tunnel port
  TraceRecord* trace = nullptr;           // its record, which goes with it (pipeline/trace.h); null: not traced
};

}  // namespace headgate
