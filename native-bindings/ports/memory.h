// The twin of a kernel port for tests and replays: what a test pushes in is received, what is transmitted is
// taken out. Deterministic, and safe to use from another thread than the worker's.
#pragma once

#include <deque>
#include <mutex>
#include <vector>

#include "ports/port.h"

namespace headgate {

struct MemoryFrame {
  std::vector<uint8_t> bytes;
  Offload offload;
};

class MemoryPort final : public Port {
 public:
  // `capacity`: frames that wait for take() per queue before transmit says kOutputFull. Throws
  // std::system_error when no descriptor can be had.
  explicit MemoryPort(PortCapabilities capabilities = {true, true, true, 1}, size_t capacity = 65536);
  ~MemoryPort() override;

  PortCapabilities capabilities() const override { return capabilities_; }
  int descriptor(unsigned queue) const override { return queues_[queue].event; }
  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;
  std::string failure() const override;

  // Lets the port receive a copy of the bytes; false when they are longer than kMaxFrame or the port has
  // failed.
  bool push(std::span<const uint8_t> bytes, const Offload& offload = {}, unsigned queue = 0);
  // Takes out everything that was transmitted, in order.
  std::vector<MemoryFrame> take(unsigned queue = 0);
  // The device vanishes: frames that wait are lost.
  void vanish(const std::string& why);

 private:
  struct Queue {
    int event = -1;  // readable while `in` holds frames
    std::deque<MemoryFrame> in;
    std::deque<MemoryFrame> out;
  };

  PortCapabilities capabilities_;
  size_t capacity_;
  mutable std::mutex mutex_;
  std::vector<Queue> queues_;
  std::string failure_;
};

}  // namespace headgate
