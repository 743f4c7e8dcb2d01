// The twin of a tunnel for tests of the pipeline: frames with their hops, in memory.
#pragma once

#include <deque>
#include <vector>

#include "ports/tunnel.h"
#include "test/frames.h"

namespace headgate::test {

struct TunnelFrame {
  Bytes bytes;
  TunnelHop hop;
  Offload offload{};
};

class MemoryTunnel final : public TunnelPort {
 public:
  PortCapabilities capabilities() const override { return {true, true, false, 1}; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return {}; }
  uint32_t most_to(const Address&) override { return most; }

  // Two at a time, so that there is more to be had.
  size_t receive(unsigned, std::span<Frame* const> frames) override {
    size_t count = 0;
    for (; count < 2 && count < frames.size() && !in.empty(); ++count) {
      Frame& frame = *frames[count];
      const TunnelFrame& next = in.front();
      frame.data = frame.buffer + kHeadroom;
      frame.length = static_cast<uint32_t>(next.bytes.size());
      frame.offload = next.offload;
      frame.hop = next.hop;
      std::copy(next.bytes.begin(), next.bytes.end(), frame.data);
      in.pop_front();
    }
    return count;
  }
  bool has_more(unsigned) const override { return !in.empty(); }

  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    for (size_t i = 0; i < frames.size(); ++i) {
      out.push_back({{frames[i]->data, frames[i]->data + frames[i]->length}, frames[i]->hop, frames[i]->offload});
      outcomes[i] = Reason::kNone;
    }
  }

  uint32_t most = 1464;
  std::deque<TunnelFrame> in;
  std::vector<TunnelFrame> out;
};

}  // namespace headgate::test
