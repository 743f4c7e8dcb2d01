// A wrapper that does to frames what bad networks do, in the order of its seed: the same seed and the same
// frames in the same batches give the same faults. Received frames are dropped, duplicated, reordered,
// corrupted or truncated; frames to be sent are refused as if the queue were full.
#pragma once

#include <random>

#include "ports/wrapper.h"

namespace headgate {

// Probabilities of each fault per frame, 0 to 1.
struct Faults {
  uint32_t seed = 1;
  double drop = 0;
  double duplicate = 0;  // only while the batch has room for the copy
  double reorder = 0;    // changes places with the frame before it in its batch
  double corrupt = 0;    // one bit
  double truncate = 0;   // to a random shorter length, possibly 0
  double refuse = 0;     // transmit: kOutputFull
};

struct FaultCounts {
  uint64_t dropped = 0, duplicated = 0, reordered = 0, corrupted = 0, truncated = 0, refused = 0;
};

// For one queue and one thread.
class FaultyPort final : public PortWrapper {
 public:
  FaultyPort(std::unique_ptr<Port> inner, const Faults& faults);

  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;
  const FaultCounts& counts() const { return counts_; }

 private:
  bool happens(double probability);

  Faults faults_;
  FaultCounts counts_;
  std::mt19937 random_;
};

}  // namespace headgate
