// A port: where frames come from and go to. Four kinds (tap, packet socket, memory, pcap), all behind this
// interface; wrappers (trace, faults, capture) implement it around another port, so no port has a test flag.
//
// A port has one or more queues. A queue belongs to one worker: no two threads call receive or transmit with
// the same queue, and different queues may be used at once. Open and close happen off the packet threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "packet/frame.h"
#include "packet/reasons.h"

namespace headgate {

struct PortCapabilities {
  bool tcp_segmentation = false;  // transmit takes TCP super-frames
  bool udp_segmentation = false;  // transmit takes UDP super-frames (VIRTIO_NET_HDR_GSO_UDP_L4)
  bool checksum = false;          // transmit takes frames with a partial checksum
  uint16_t queues = 1;
};

class Port {
 public:
  virtual ~Port() = default;

  virtual PortCapabilities capabilities() const = 0;

  // A descriptor that polls readable when receive(queue) has something, for epoll; -1 if there is none and the
  // queue is to be asked in every round.
  virtual int descriptor(unsigned queue) const = 0;

  // Reads up to frames.size() frames into the given ones: sets data, length and offload of the first n and
  // returns n. Never blocks. On a failed port it returns 0 and `failure` says why.
  virtual size_t receive(unsigned queue, std::span<Frame* const> frames) = 0;

  // Sends every frame or says in outcomes[i] why not: Reason::kNone is sent, otherwise one of the kOutput...
  // reasons. Never blocks and never keeps a frame. The kernel copies; data is unchanged afterwards, the
  // headroom may be overwritten.
  virtual void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) = 0;

  // Empty while the port works; else what happened to it, in words ("device gone: ENODEV"). Any thread may ask, but not
  // on the packet path: it may make a system call. A failed queue's descriptor never becomes readable, so a worker that
  // polls needs to do nothing: receive returns 0, transmit says kOutputDown.
  virtual std::string failure() const = 0;
};

}  // namespace headgate
