// Maps the buffers of a FramePool; see frame_pool.h.
#include "packet/frame_pool.h"

#include <sys/mman.h>

#include <new>

namespace headgate {

FramePool::FramePool(size_t count) : frames_(count) {
  free_.reserve(count);
  if (count == 0) return;
  void* memory =
      mmap(nullptr, count * kStride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<uint8_t*>(memory);
  for (size_t i = count; i-- > 0;) {
    frames_[i].buffer = memory_ + i * kStride;
    clear(frames_[i]);
    free_.push_back(&frames_[i]);
  }
}

FramePool::~FramePool() {
  if (memory_ != nullptr) munmap(memory_, frames_.size() * kStride);
}

}  // namespace headgate
