// The packet that an ICMP or ICMPv6 error is about, of which it brings the beginning (RFC 792; RFC 4443, 3; RFC 1812,
// 4.3.2.3).
//
// A gate of its own: parse() has checked the error's header and length, and nothing of what is embedded. When this one
// says yes, `inner` has the addresses, protocol and ports (or what stands for them) of a packet that was sent, and the
// first eight bytes of its transport header were there.
#pragma once

#include "packet/frame.h"

namespace headgate {

struct Embedded {
  Headers inner;          // addresses, protocol, ports, ICMP type and code; without offsets and hash
  uint32_t sequence = 0;  // TCP
};

// Of a frame whose headers say `icmp_error`. False: it is cut off, malformed, a later fragment, or itself an error.
bool parse_embedded(const Frame& frame, Embedded& embedded);

// By what the connection of a frame that steer has let on is found: its own headers, or, of an ICMP error, those of the
// packet that it is about. False: none is looked for.
bool connection_headers(const Frame& frame, Headers& headers);

}  // namespace headgate
