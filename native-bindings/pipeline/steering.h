// Hand-over of frames between workers: for each pair of workers a ring with one producer and one consumer.
//
// The ring's slots own frames of their own. The producer swaps its full frame with the slot's empty one, the consumer
// the other way round, so buffers are conserved and nothing is copied or freed.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "packet/frame_pool.h"

namespace headgate {

class FrameRing {
 public:
  static constexpr uint32_t kSlots = 256;

  FrameRing() : pool_(kSlots) {
    for (Frame*& slot : slots_) slot = pool_.acquire();
  }

  // By the producer. False when the ring is full; then the frame is unchanged.
  bool push(Frame& frame) {
    uint32_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kSlots) return false;
    std::swap(*slots_[head % kSlots], frame);
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // By the consumer. False when the ring is empty.
  bool pop(Frame& frame) {
    uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    std::swap(*slots_[tail % kSlots], frame);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

 private:
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
  FramePool pool_;
  Frame* slots_[kSlots];
};

// One worker's view of the rings.
class Steering {
 public:
  unsigned self = 0;
  unsigned workers = 1;
  std::vector<std::shared_ptr<FrameRing>> out;  // by owner; null for self
  std::vector<std::shared_ptr<FrameRing>> in;   // by producer; null for self
  std::vector<bool> wake;                       // owners that got frames in this batch

  // The upper half, since the tables use the lower.
  unsigned owner(uint64_t hash) const { return static_cast<unsigned>((hash >> 32) % workers); }

  bool hand_over(Frame& frame, unsigned owner) {
    if (!out[owner]->push(frame)) return false;
    wake[owner] = true;
    return true;
  }
};

}  // namespace headgate
