// Cutting a super-frame into the segments it stands for, where an output cannot take it whole.
#pragma once

#include "packet/frame.h"

namespace headgate {

// Where the payload of a segment lies in its super-frame, from the first byte of the frame.
struct SegmentPayload {
  uint32_t from;
  uint32_t length;
};

// Writes the headers of segment `index` (below headers.wire_packets) of a parsed super-frame to `to`,
// headers.payload_offset bytes, with lengths, sequence numbers, flags, IPv4 id and checksums as a host would have sent
// it (RFC 9293; Linux's tcp_gso_segment and udp segmentation). Its payload is to follow them.
SegmentPayload build_segment_headers(const Frame& super, uint32_t index, uint8_t* to);

// Writes the whole segment into `out`.
void build_segment(const Frame& super, uint32_t index, Frame& out);

// Bytes of the longest frame that a parsed frame stands for.
inline uint32_t longest_segment(const Frame& frame) {
  const bool cut = frame.headers.wire_packets > 1;
  return cut ? uint32_t{frame.headers.payload_offset} + frame.offload.segment_size : frame.length;
}

}  // namespace headgate
