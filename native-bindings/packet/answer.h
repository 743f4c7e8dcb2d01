// Packets that the firewall itself sends: TCP resets and ICMP errors about a frame that it refused.
//
// All take a parsed frame without tags and an empty one to build in, and return false where no answer may be sent. The
// answer stands in the name of the frame's destination, as if that host had refused: Headgate has no address of its
// own.
#pragma once

#include "packet/frame.h"

namespace headgate {

// To the sender: a RST as a closed port would send it (RFC 9293, 3.10.7.1). Not for a frame that is a RST itself.
bool build_reset_to_sender(const Frame& frame, Frame& answer);

// To the receiver, in the sender's name: a RST in the place of the frame.
bool build_reset_to_receiver(const Frame& frame, Frame& answer);

// To the sender: communication administratively prohibited (RFC 1812, 5.2.7.1: type 3 code 13; RFC 4443, 3.1: type 1
// code 1) with the head of the packet. Not about ICMP errors, later fragments or group addresses (RFC 1122, 3.2.2).
bool build_prohibited(const Frame& frame, Frame& answer);

// To the sender: fragmentation needed (RFC 1191, 4) or packet too big (RFC 4443, 3.2), with the MTU of the next hop.
// Likewise.
bool build_too_big(const Frame& frame, Frame& answer, uint32_t mtu);

}  // namespace headgate
