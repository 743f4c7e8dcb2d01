// Frames in memory; see memory.h.
#include "ports/memory.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace headgate {

MemoryPort::MemoryPort(PortCapabilities capabilities, size_t capacity)
    : capabilities_(capabilities), capacity_(capacity), queues_(capabilities.queues) {
  for (Queue& queue : queues_) {
    queue.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue.event < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
}

MemoryPort::~MemoryPort() {
  for (const Queue& queue : queues_) close(queue.event);
}

size_t MemoryPort::receive(unsigned number, std::span<Frame* const> frames) {
  std::lock_guard lock(mutex_);
  Queue& queue = queues_[number];
  if (queue.in.empty()) return 0;
  size_t count = 0;
  for (; count < frames.size() && !queue.in.empty(); count++) {
    Frame& frame = *frames[count];
    const MemoryFrame& waiting = queue.in.front();
    frame.data = frame.buffer + kHeadroom;
    frame.length = static_cast<uint32_t>(waiting.bytes.size());
    frame.offload = waiting.offload;
    std::copy(waiting.bytes.begin(), waiting.bytes.end(), frame.data);
    queue.in.pop_front();
  }
  eventfd_t ignored;
  if (queue.in.empty()) eventfd_read(queue.event, &ignored);
  return count;
}

void MemoryPort::transmit(unsigned number, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  std::lock_guard lock(mutex_);
  Queue& queue = queues_[number];
  for (size_t i = 0; i < frames.size(); i++) {
    const Frame& frame = *frames[i];
    if (!failure_.empty()) {
      outcomes[i] = Reason::kOutputDown;
    } else if (queue.out.size() >= capacity_) {
      outcomes[i] = Reason::kOutputFull;
    } else {
      queue.out.push_back({{frame.data, frame.data + frame.length}, frame.offload});
      outcomes[i] = Reason::kNone;
    }
  }
}

std::string MemoryPort::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

bool MemoryPort::push(std::span<const uint8_t> bytes, const Offload& offload, unsigned number) {
  if (bytes.size() > kMaxFrame) return false;
  std::lock_guard lock(mutex_);
  if (!failure_.empty()) return false;
  Queue& queue = queues_[number];
  if (queue.in.empty()) eventfd_write(queue.event, 1);
  queue.in.push_back({{bytes.begin(), bytes.end()}, offload});
  return true;
}

std::vector<MemoryFrame> MemoryPort::take(unsigned number) {
  std::lock_guard lock(mutex_);
  std::deque<MemoryFrame>& out = queues_[number].out;
  std::vector<MemoryFrame> taken(std::make_move_iterator(out.begin()), std::make_move_iterator(out.end()));
  out.clear();
  return taken;
}

void MemoryPort::vanish(const std::string& why) {
  std::lock_guard lock(mutex_);
  failure_ = why;
  for (Queue& queue : queues_) {
    queue.in.clear();
    eventfd_t ignored;
    eventfd_read(queue.event, &ignored);
  }
}

}  // namespace headgate
