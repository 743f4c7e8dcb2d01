// Slices of the processor for packet threads. Frames must not wait until a busy neighbour's slice ends: who asks for
// shorter slices than others goes before them when it wakes, and gets no more of the processor for it (the kernel's
// EEVDF scheduler, from Linux 6.12; earlier ones take no notice). No privilege is needed.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace headgate {

constexpr uint64_t kShortSlice = 100'000;  // nanoseconds: the shortest there is

// For the thread that calls it. Where it is refused, as under systemd by the unit, it stays with the slices of others.
void take_short_slices();

// Of a thread, 0 for the one that calls; in nanoseconds; 0: the kernel does not say.
uint64_t slice_of(pid_t thread);

}  // namespace headgate
