// The moment in which one engine goes on in another's place. Everything slow is done before: the follower has mapped
// the pools, holds the policy, and has the ports' descriptors.
//
//   giver                                   follower
//   stops between two batches
//   lets go of the pools      -- let go -->
//                                           becomes their owner, runs
//                            <-- taken --
//
// Who owns the pools is in charge, and the kernel gives their lock to one of the two. So whatever happens in between,
// the giver goes on as soon as it gets the lock back: when the follower fails, dies, or takes too long.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace headgate {

class Engine;

struct HandoverReport {
  std::string error = {};    // empty: the follower runs
  uint64_t waited = 0;       // nanoseconds that packets waited for whoever runs now; of these:
  uint64_t stopping = 0;     // until the giver had let go
  uint64_t starting = 0;     // from when the follower heard of it
  uint32_t connections = 0;  // that are there
};

// Either side's end, with a stream socket to the other. `timeout` in milliseconds; a follower that holds on to the
// pools for longer without running is killed.
HandoverReport hand_over(Engine& engine, int channel, int timeout, pid_t follower);
HandoverReport take_over(Engine& engine, int channel, int timeout);

}  // namespace headgate
