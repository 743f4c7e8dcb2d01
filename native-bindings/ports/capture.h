// A wrapper that writes what passes a port, in both directions, into a capture. Super-frames are written
// whole, their checksums as they are; frames that the port refused are not written.
#pragma once

#include <functional>
#include <mutex>

#include "ports/pcap.h"
#include "ports/wrapper.h"

namespace headgate {

class CapturePort final : public PortWrapper {
 public:
  using Clock = std::function<uint64_t()>;  // nanoseconds since the epoch

  CapturePort(std::unique_ptr<Port> inner, std::unique_ptr<PcapWriter> writer, Clock clock);

  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;

  // What has passed is in the file; false when something could not be written.
  bool flush();

 private:
  void write(const Frame& frame, uint64_t time);

  std::mutex mutex_;
  std::unique_ptr<PcapWriter> writer_;
  Clock clock_;
  bool complete_ = true;
};

}  // namespace headgate
