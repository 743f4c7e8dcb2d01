// Frames on their way out, gathered by port so that each port is written once a batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "packet/frame.h"

namespace headgate {

// What goes to one port, in order: frames, and beside each the workload that it goes to.
struct OutputQueue {
  std::span<Frame* const> frames;
  std::span<const uint32_t> workloads;
};

class Outputs {
 public:
  // Off the packet path: room for `ports` ports and `frames` frames each.
  void resize(size_t ports, size_t frames) {
    room_ = static_cast<uint32_t>(frames);
    queues_.assign(ports, {});
    frames_.resize(ports * frames);
    workloads_.resize(ports * frames);
    for (size_t i = 0; i < ports; ++i) queues_[i] = {&frames_[i * frames], &workloads_[i * frames], 0};
    ports_.resize(ports);
    used_ = 0;
    own_.clear();
    own_.reserve(frames);
  }

  // False when the port's share of this batch is used up.
  bool add(uint16_t port, Frame& frame, uint32_t workload) {
    Queue& queue = queues_[port];
    if (queue.count == room_) return false;
    if (queue.count == 0) ports_[used_++] = port;
    queue.frames[queue.count] = &frame;
    queue.workloads[queue.count++] = workload;
    return true;
  }

  // Likewise for a frame of the worker's pool, which goes back there when the batch is written.
  bool add_own(uint16_t port, Frame& frame, uint32_t workload) {
    if (!add(port, frame, workload)) return false;
    own_.push_back(&frame);
    return true;
  }
  std::span<Frame* const> own() const { return own_; }

  // Ports that have frames, and what they have.
  std::span<const uint16_t> ports() const { return {ports_.data(), used_}; }
  OutputQueue queue(uint16_t port) const {
    const Queue& q = queues_[port];
    return {{q.frames, q.count}, {q.workloads, q.count}};
  }
  void clear() {
    for (uint16_t port : ports()) queues_[port].count = 0;
    used_ = 0;
    own_.clear();
  }

 private:
  struct Queue {
    Frame** frames = nullptr;
    uint32_t* workloads = nullptr;
    uint32_t count = 0;
  };
  uint32_t room_ = 0;
  uint32_t used_ = 0;
  std::vector<Queue> queues_;        // by port
  std::vector<Frame*> frames_;       // `room_` for each port
  std::vector<uint32_t> workloads_;  // likewise
  std::vector<Frame*> own_;
  std::vector<uint16_t> ports_;  // the first `used_` have frames
};

}  // namespace headgate
