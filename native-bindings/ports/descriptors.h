// Descriptors of devices that are gone.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace headgate {

// Puts a descriptor that never becomes readable in the place of `descriptor`, whose device is gone and which
// epoll would report for ever. Its number stays valid; the old file is closed and so leaves every epoll set.
inline void silence_descriptor(int descriptor) {
  const int silent = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (silent < 0) return;
  dup3(silent, descriptor, O_CLOEXEC);
  close(silent);
}

}  // namespace headgate
