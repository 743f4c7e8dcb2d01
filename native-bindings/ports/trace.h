// A wrapper that says in one line what passes a port, for a person who watches:
//
//   web-1 received 74 bytes 02:00:00:00:00:01 > 02:00:00:00:00:02 0x0800
//   web-1 sent 29014 bytes 02:00:00:00:00:02 > 02:00:00:00:00:01 0x0800 tcp4 segments of 1448, partial
//   checksum web-1 refused 60 bytes ff:ff:ff:ff:ff:ff > 02:00:00:00:00:01 0x0806: the destination's queue is
//   full
#pragma once

#include <functional>

#include "ports/wrapper.h"

namespace headgate {

class TracePort final : public PortWrapper {
 public:
  using Sink = std::function<void(const std::string& line)>;

  // `name` begins each line. The sink is called by the threads that use the port, also at the same time.
  TracePort(std::unique_ptr<Port> inner, std::string name, Sink sink);

  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;

 private:
  std::string name_;
  Sink sink_;
};

}  // namespace headgate
