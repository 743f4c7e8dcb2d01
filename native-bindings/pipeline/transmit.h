// The end of a batch: what the forward stage queued is written to the ports.
#pragma once

#include "pipeline/context.h"

namespace headgate {

// Writes every output queue to its port's `queue` and empties it: VLAN tags are pushed for trunks, super-frames are cut
// and checksums completed where the port cannot take them. What a port refuses is a counted drop of the receiving
// workload.
void transmit_outputs(Context& ctx, unsigned queue);

}  // namespace headgate
