// Writes what passes; see capture.h.
#include "ports/capture.h"

namespace headgate {

CapturePort::CapturePort(std::unique_ptr<Port> inner, std::unique_ptr<PcapWriter> writer, Clock clock)
    : PortWrapper(std::move(inner)), writer_(std::move(writer)), clock_(std::move(clock)) {}

void CapturePort::write(const Frame& frame, uint64_t time) {
  complete_ = writer_->write(time, {frame.data, frame.length}) && complete_;
}

size_t CapturePort::receive(unsigned queue, std::span<Frame* const> frames) {
  const size_t count = inner_->receive(queue, frames);
  if (count == 0) return 0;
  std::lock_guard lock(mutex_);
  const uint64_t now = clock_();
  for (size_t i = 0; i < count; i++) write(*frames[i], now);
  return count;
}

void CapturePort::transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  inner_->transmit(queue, frames, outcomes);
  std::lock_guard lock(mutex_);
  const uint64_t now = clock_();
  for (size_t i = 0; i < frames.size(); i++) {
    if (outcomes[i] == Reason::kNone) write(*frames[i], now);
  }
}

bool CapturePort::flush() {
  std::lock_guard lock(mutex_);
  return writer_->flush() && complete_;
}

}  // namespace headgate
