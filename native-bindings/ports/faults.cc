// Seeded faults; see faults.h.
#include "ports/faults.h"

#include <cstring>
#include <utility>

namespace headgate {

FaultyPort::FaultyPort(std::unique_ptr<Port> inner, const Faults& faults)
    : PortWrapper(std::move(inner)), faults_(faults), random_(faults.seed) {}

// Draws a number also for 0 and 1, so that one probability does not move the other faults to other frames.
bool FaultyPort::happens(double probability) {
  return random_() < probability * 4294967296.0;
}

size_t FaultyPort::receive(unsigned queue, std::span<Frame* const> frames) {
  const size_t received = inner_->receive(queue, frames);
  size_t kept = 0;
  for (size_t i = 0; i < received; i++) {
    if (happens(faults_.drop)) {
      counts_.dropped++;
      continue;
    }
    if (kept != i) std::swap(*frames[kept], *frames[i]);  // the buffers change places, none is lost
    Frame& frame = *frames[kept];
    if (happens(faults_.corrupt) && frame.length > 0) {
      const uint32_t bit = random_() % (frame.length * 8);
      frame.data[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      counts_.corrupted++;
    }
    if (happens(faults_.truncate) && frame.length > 0) {
      frame.length = random_() % frame.length;
      counts_.truncated++;
    }
    if (happens(faults_.reorder) && kept > 0) {
      std::swap(*frames[kept - 1], *frames[kept]);
      counts_.reordered++;
    }
    kept++;
  }
  const size_t originals = kept;
  for (size_t i = 0; i < originals; i++) {
    if (!happens(faults_.duplicate) || kept == frames.size()) continue;
    const Frame& frame = *frames[i];
    Frame& copy = *frames[kept++];
    copy.data = copy.buffer + (frame.data - frame.buffer);
    copy.length = frame.length;
    copy.offload = frame.offload;
    std::memcpy(copy.data, frame.data, frame.length);
    counts_.duplicated++;
  }
  return kept;
}

void FaultyPort::transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  for (size_t i = 0; i < frames.size(); i++) {
    if (happens(faults_.refuse)) {
      outcomes[i] = Reason::kOutputFull;
      counts_.refused++;
    } else {
      inner_->transmit(queue, frames.subspan(i, 1), outcomes.subspan(i, 1));
    }
  }
}

}  // namespace headgate
