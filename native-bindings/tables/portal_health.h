// How a service portal does: written by whoever probes it (pipeline/prober.h), read by all workers. Generations share
// it, so what is known of a portal outlives every change of policy, and a portal that goes down is left within the
// round in which that is noticed, without a new generation.
#pragma once

#include <atomic>
#include <cstdint>

namespace headgate {

enum class ProbeFault : uint8_t { kNone, kNoMac, kNoAnswer, kRefused, kBadStatus };

inline const char* name_of(ProbeFault fault) {
  constexpr const char* kNames[] = {"", "nobody has its address", "no answer", "connection refused",
                                    "an HTTP status that is not 2xx or 3xx"};
  return kNames[static_cast<int>(fault)];
}

struct PortalHealth {
  std::atomic<bool> up{true};
  std::atomic<uint64_t> mac{0};                      // of its address (mac_number); 0: not known
  std::atomic<uint32_t> sent{0};                     // number of the last probe
  std::atomic<uint32_t> answered{0};                 // number of the last one that was answered
  std::atomic<ProbeFault> fault{ProbeFault::kNone};  // what the last probe that failed met
  std::atomic<uint64_t> failures{0};                 // probes that failed, ever
  std::atomic<uint64_t> changes{0};                  // times that it went down or came up
  std::atomic<uint32_t> changed{0};                  // milliseconds, when it last did

  // The prober's alone.
  bool begun = false;
  uint32_t due = 0;     // milliseconds
  uint32_t in_row = 0;  // probes that failed, or while it is down were answered, one after the other
};

}  // namespace headgate
