// Frames on their way out, gathered by port so that each port is written once a batch.
#pragma once

#include <cstdint>
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
    queues_.resize(ports);
    for (auto& queue : queues_) queue.reserve(frames);
    ports_.reserve(ports);
    room_ = frames;
  }

  // False when the port's share of this batch is used up.
  bool add(uint16_t port, const Output& output) {
    auto& queue = queues_[port];
    if (queue.size() == room_) return false;
    if (queue.empty()) ports_.push_back(port);
    queue.push_back(output);
    return true;
  }

  const std::vector<uint16_t>& ports() const { return ports_; }
  std::vector<Output>& queue(uint16_t port) { return queues_[port]; }
  void clear() {
    for (uint16_t port : ports_) queues_[port].clear();
    ports_.clear();
  }

 private:
  size_t room_ = 0;
  std::vector<std::vector<Output>> queues_;
  std::vector<uint16_t> ports_;  // that have frames
};

}  // namespace headgate
