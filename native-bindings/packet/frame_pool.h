// The frames of one worker and their buffers, made once: acquire and release neither allocate nor lock.
//
// Buffers are kStride apart. The stride is the room for a super-frame rounded up to whole pages plus an odd
// number of cache lines, so that the headers of frames handled together fall into different cache sets. Pages
// are touched only by frames that are long enough to need them. The last frame released is the next one
// acquired.
#pragma once

#include <vector>

#include "packet/frame.h"

namespace headgate {

class FramePool {
 public:
  static constexpr size_t kStride = (kHeadroom + kMaxFrame + 4095) / 4096 * 4096 + 5 * 64;

  // Throws std::bad_alloc when there is no memory for `count` frames.
  explicit FramePool(size_t count);
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // An empty frame at the usual headroom, or null when all are lent out.
  Frame* acquire() {
    if (free_.empty()) return nullptr;
    Frame* frame = free_.back();
    free_.pop_back();
    clear(*frame);
    return frame;
  }

  // Takes back a frame that this pool lent; each once.
  void release(Frame* frame) { free_.push_back(frame); }

  size_t size() const { return frames_.size(); }
  size_t available() const { return free_.size(); }

  // Makes a frame as acquire hands it out. Of the headers only what says "not parsed" is cleared.
  static void clear(Frame& frame) {
    frame.data = frame.buffer + kHeadroom;
    frame.length = 0;
    frame.offload = {};
    frame.headers.layer3 = Layer3::kNone;
    frame.headers.layer4_offset = 0;
    frame.port = kNoPort;
    frame.source_workload = 0;
    frame.destination_workload = 0;
    frame.source = nullptr;
    frame.segment = nullptr;
    frame.destination = nullptr;
    frame.bridge = nullptr;
    frame.tracker = 0;
    frame.connection = nullptr;
    frame.reply = false;
    frame.joined = false;
    frame.passage = {};
    frame.trace = nullptr;
  }

 private:
  uint8_t* memory_ = nullptr;
  std::vector<Frame> frames_;
  std::vector<Frame*> free_;
};

}  // namespace headgate
