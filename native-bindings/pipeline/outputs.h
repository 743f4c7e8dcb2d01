// Frames on their way out, gathered by port so that each port is written once a batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "packet/frame.h"

namespace headgate {

struct Output {
  Frame* frame;
  uint32_t workload;  // that it goes to
  uint16_t vlan[2];   // tags to push, outer first; 0: none
};

class Outputs {
 public:
  // Off the packet path: room for `ports` ports and `frames` frames each.
  void resize(size_t ports, size_t frames) {
    room_ = static_cast<uint32_t>(frames);
    queues_.assign(ports, {});
    outputs_.resize(ports * frames);
    for (size_t i = 0; i < ports; ++i) queues_[i].first = &outputs_[i * frames];
    ports_.resize(ports);
    used_ = 0;
  }

  // False when the port's share of this batch is used up.
  bool add(uint16_t port, const Output& output) {
    Queue& queue = queues_[port];
    if (queue.count == room_) return false;
    if (queue.count == 0) ports_[used_++] = port;
    queue.first[queue.count++] = output;
    return true;
  }

  // Ports that have frames, and their frames in order.
  std::span<const uint16_t> ports() const { return {ports_.data(), used_}; }
  std::span<const Output> queue(uint16_t port) const { return {queues_[port].first, queues_[port].count}; }
  void clear() {
    for (uint16_t port : ports()) queues_[port].count = 0;
    used_ = 0;
  }

 private:
  struct Queue {
    Output* first = nullptr;
    uint32_t count = 0;
  };
  uint32_t room_ = 0;
  uint32_t used_ = 0;
  std::vector<Queue> queues_;    // by port
  std::vector<Output> outputs_;  // `room_` for each port
  std::vector<uint16_t> ports_;  // the first `used_` have frames
};

}  // namespace headgate
