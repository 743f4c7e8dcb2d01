// Puts frames that come out of a tunnel together again, as generic receive offload does (net/ipv4/tcp_offload.c):
// segments of one TCP connection that follow each other become one super-frame, which costs the pipeline and the
// workload's device as much as one of them.
//
// Segments are joined only if cutting the super-frame gives them back: from the same remote with the same key, same
// Ethernet header, addresses, TTL, TOS, ports, acknowledgement, window and options, no flags but ACK and PSH, payloads
// of one size (the last may be shorter, and a PSH ends it), and a checksum that is right, each looked at here.
//
// A frame may come from a tunnel device of the same kernel without its checksum, which was left to hardware that it
// never met, and as a super-frame without a word about it. The sum of the pseudo-header stands in the place of the
// checksum then; it is taken up as what it is, a partial checksum.
#pragma once

#include <span>

#include "packet/frame.h"

namespace headgate {

// What came out of one outer packet, or what is wrong with it.
struct Piece {
  const uint8_t* data = nullptr;  // the inner frame
  uint32_t length = 0;
  TunnelHop hop;
};

// Copies the first piece, or the first few that it can be joined with, into `out`; returns how many. A super-frame that
// came without a word about it is taken to have segments of `most` bytes of frame.
size_t join(std::span<const Piece> pieces, uint32_t most, Frame& out);

}  // namespace headgate
