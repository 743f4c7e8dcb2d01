// Health checks of service portals: asks each on the port where it is attached, by ARP and then ICMP echo, a TCP
// handshake or an HTTP request, from an address and a MAC that are the engine's own there.
//
// The first worker asks, at each portal's interval. Whichever worker gets an answer takes it: nothing of a probe is
// kept but its number, from which ports and sequence numbers are made, so an answer needs no lock and no connection. Of
// HTTP only the status line's first 12 bytes are looked at. A portal is down after as many failures in a row as its
// check says, and up again after two answers in a row.
#pragma once

#include "pipeline/context.h"

namespace headgate {

class Prober {
 public:
  // Looks what is due at `now`, in milliseconds.
  explicit Prober(uint32_t now = 0) : due_(now) {}

  // Sends what is due, into the outputs of `ctx`. True: there is something to transmit.
  bool run(Context& ctx);
  // Milliseconds until something is due; at most `most`.
  uint32_t wait(const Context& ctx, uint32_t most) const;

 private:
  uint32_t due_;
};

// Whether the frame, which came in on a port of portals under a key, is for whoever asks there. It is then done with.
bool answers_probe(const Frame& frame, Context& ctx, uint32_t key);

}  // namespace headgate
