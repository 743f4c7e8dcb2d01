#include "pipeline/slices.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace headgate {
namespace {

// The kernel's struct sched_attr, first version (sched_setattr(2)); its header and the C library's exclude each other.
struct Attributes {
  uint32_t size = 48;
  uint32_t policy = 0;  // SCHED_OTHER
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;
};
static_assert(sizeof(Attributes) == 48);

}  // namespace

void take_short_slices() {
  Attributes attributes;
  attributes.nice = getpriority(PRIO_PROCESS, 0);  // as it is
  attributes.runtime = kShortSlice;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

uint64_t slice_of(pid_t thread) {
  Attributes attributes;
  return syscall(SYS_sched_getattr, thread, &attributes, sizeof attributes, 0) == 0 ? attributes.runtime : 0;
}

}  // namespace headgate
