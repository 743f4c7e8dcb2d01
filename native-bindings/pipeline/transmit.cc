#include "pipeline/transmit.h"

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/segment.h"
#include "packet/wire.h"

namespace headgate {
namespace {

void shift_offsets(Frame& frame, int bytes) {
  auto shift = [bytes](uint16_t& offset) {
    if (offset) offset = static_cast<uint16_t>(offset + bytes);
  };
  shift(frame.headers.layer3_offset);
  shift(frame.headers.layer4_offset);
  shift(frame.headers.payload_offset);
  shift(frame.offload.header_length);
  if (frame.offload.partial_checksum) shift(frame.offload.checksum_start);
  frame.data -= bytes;
  frame.length += static_cast<uint32_t>(bytes);
}

// Into the headroom; pop_tags puts everything back, since a flooded frame goes to other ports too.
int push_tags(Frame& frame, const uint16_t vlan[2]) {
  int tags = vlan[1] ? 2 : 1;
  int bytes = tags * static_cast<int>(kVlanTag);
  uint8_t addresses[12];
  memcpy(addresses, frame.data, 12);
  shift_offsets(frame, bytes);
  memcpy(frame.data, addresses, 12);
  store16(frame.data + 12, tags == 2 ? kEtherQinQ : kEtherVlan);
  store16(frame.data + 14, vlan[0]);
  if (tags == 2) {
    store16(frame.data + 16, kEtherVlan);
    store16(frame.data + 18, vlan[1]);
  }
  return bytes;
}

void pop_tags(Frame& frame, int bytes) {
  uint8_t addresses[12];
  memcpy(addresses, frame.data, 12);
  shift_offsets(frame, -bytes);
  memcpy(frame.data, addresses, 12);
}

bool takes(const PortCapabilities& port, const Offload& offload) {
  if (offload.kind == Offload::kNone) return true;
  return offload.kind == Offload::kUdp ? port.udp_segmentation : port.tcp_segmentation;
}

// Gathers frames for one port and writes them together.
class Writer {
 public:
  Writer(Context& ctx, Port& port, unsigned queue) : ctx_(ctx), port_(port), can_(port.capabilities()), queue_(queue) {}

  void write(const Output& output) {
    Frame& frame = *output.frame;
    if (!takes(can_, frame.offload)) {
      cut(output);
      return;
    }
    if (frame.offload.partial_checksum && !can_.checksum) checksum_complete(frame);
    add(output, frame.port == kNoPort);
  }

  void flush() {
    if (!count_) return;
    port_.transmit(queue_, {frames_, count_}, {outcomes_, count_});
    for (size_t i = 0; i < count_; ++i) {
      Frame& frame = *frames_[i];
      settle(frame, workloads_[i], outcomes_[i]);
      if (tag_bytes_[i]) pop_tags(frame, tag_bytes_[i]);
      if (ours_[i]) ctx_.pool.release(&frame);
    }
    count_ = 0;
  }

 private:
  static constexpr size_t kMost = 64;

  void add(const Output& output, bool ours) {
    frames_[count_] = output.frame;
    workloads_[count_] = output.workload;
    ours_[count_] = ours;
    tag_bytes_[count_] = output.vlan[0] ? push_tags(*output.frame, output.vlan) : 0;
    if (++count_ == kMost) flush();
  }

  void settle(const Frame& frame, uint32_t workload, Reason outcome) {
    if (outcome != Reason::kNone) {
      drop(ctx_, workload, outcome, Direction::kIn);
      return;
    }
    if (workload >= ctx_.counters.workloads.size()) return;
    WorkloadCounters& counters = ctx_.counters.workloads[workload];
    counters.received_packets += frame.headers.wire_packets;
    counters.received_bytes += frame.length;
  }

  void cut(const Output& output) {
    uint32_t segments = output.frame->headers.wire_packets;
    for (uint32_t i = 0; i < segments; ++i) {
      Frame* piece = ctx_.pool.acquire();
      if (!piece) {
        flush();
        piece = ctx_.pool.acquire();
      }
      if (!piece) {
        drop(ctx_, output.workload, Reason::kOutputFull, Direction::kIn);
        continue;
      }
      build_segment(*output.frame, i, *piece);
      Output one = output;
      one.frame = piece;
      add(one, true);
    }
  }

  Context& ctx_;
  Port& port_;
  PortCapabilities can_;
  unsigned queue_;
  size_t count_ = 0;
  Frame* frames_[kMost];
  Reason outcomes_[kMost];
  uint32_t workloads_[kMost];
  int tag_bytes_[kMost];
  bool ours_[kMost];
};

}  // namespace

void transmit_outputs(Context& ctx, unsigned queue) {
  for (uint16_t place : ctx.outputs.ports()) {
    Writer writer(ctx, *ctx.generation->ports[place].attached->port, queue);
    for (const Output& output : ctx.outputs.queue(place)) writer.write(output);
    writer.flush();
  }
  ctx.outputs.clear();
}

}  // namespace headgate
