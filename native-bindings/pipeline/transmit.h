// The end of a batch: what the forward stage queued is written to the ports.
#pragma once

#include "pipeline/context.h"

namespace headgate {

// Writes every output queue to its port's `queue` and empties it: VLAN tags are pushed for trunks, super-frames are cut
// and checksums completed where the port cannot take them. What a port refuses is a counted drop of the receiving
// workload.
void transmit_outputs(Context& ctx, unsigned queue);

// The hop of a frame that comes from, or goes to, the far side of a segment; of others there is none.
inline void set_hop(Frame& frame, const Workload& workload) {
  if (workload.remote) frame.hop = {workload.remote->address, workload.remote->key, false, Reason::kNone};
}

}  // namespace headgate
