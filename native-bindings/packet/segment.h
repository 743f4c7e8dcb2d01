// Cutting a super-frame into the segments it stands for, where an output cannot take it whole.
#pragma once

#include "packet/frame.h"

namespace headgate {

// Writes segment `index` (below headers.wire_packets) of a parsed super-frame into `out`, with lengths, sequence
// numbers, flags, IPv4 id and checksums as a host would have sent it (RFC 9293; Linux's tcp_gso_segment and udp
// segmentation).
void build_segment(const Frame& super, uint32_t index, Frame& out);

}  // namespace headgate
