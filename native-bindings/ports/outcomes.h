// What the errno of a failed write means for the frame.
#pragma once

#include <cerrno>

#include "packet/reasons.h"

namespace headgate {

inline Reason output_reason(int error) {
  switch (error) {
    case 0:
      return Reason::kNone;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return Reason::kOutputFull;
    case EMSGSIZE:
      return Reason::kOutputTooBig;
    case EINVAL:
      return Reason::kOutputUnsegmentable;  // the kernel does not take this virtio-net header
    default:
      return Reason::kOutputDown;  // ENETDOWN, EIO, EBADFD, ENXIO, ENODEV
  }
}

}  // namespace headgate
