#include "pipeline/transmit.h"

#include <algorithm>

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

constexpr size_t kMost = 64;  // frames written at once

// Gathers frames for one port, each made fit for it, and writes them together.
class Writer {
 public:
  Writer(Context& ctx, const PortView& view, unsigned queue)
      : ctx_(ctx), port_(*view.attached->port), can_(port_.capabilities()), trunk_(view.trunk), queue_(queue) {}

  void write(Frame& frame, uint32_t workload) {
    if (!takes(can_, frame.offload)) {
      cut(frame, workload);
      return;
    }
    if (frame.offload.partial_checksum && !can_.checksum) checksum_complete(frame);
    add(frame, workload, false);
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
  void add(Frame& frame, uint32_t workload, bool ours) {
    frames_[count_] = &frame;
    workloads_[count_] = workload;
    ours_[count_] = ours;
    tag_bytes_[count_] = 0;
    if (trunk_) {
      const Segment& segment = ctx_.segment_of(ctx_.workload(workload));
      if (segment.vlan[0]) tag_bytes_[count_] = push_tags(frame, segment.vlan);
    }
    if (++count_ == kMost) flush();
  }

  void settle(const Frame& frame, uint32_t workload, Reason outcome) {
    if (outcome != Reason::kNone) {
      drop(ctx_, frame, workload, outcome, Direction::kIn);
      return;
    }
    if (workload >= ctx_.counters.workloads.size()) return;
    WorkloadCounters& counters = ctx_.counters.workloads[workload];
    counters.received_packets += frame.headers.wire_packets;
    counters.received_bytes += frame.length;
  }

  void cut(const Frame& frame, uint32_t workload) {
    uint32_t segments = frame.headers.wire_packets;
    for (uint32_t i = 0; i < segments; ++i) {
      Frame* piece = ctx_.pool.acquire();
      if (!piece) {
        flush();
        piece = ctx_.pool.acquire();
      }
      if (!piece) {
        drop(ctx_, frame, workload, Reason::kOutputFull, Direction::kIn);
        continue;
      }
      build_segment(frame, i, *piece);
      piece->trace = frame.trace;
      add(*piece, workload, true);
    }
  }

  Context& ctx_;
  Port& port_;
  PortCapabilities can_;
  bool trunk_;
  unsigned queue_;
  size_t count_ = 0;
  Frame* frames_[kMost];
  Reason outcomes_[kMost];
  uint32_t workloads_[kMost];
  int tag_bytes_[kMost];
  bool ours_[kMost];
};

// Whether the port can be given the frames as they are queued: nothing to push, cut or complete.
bool fit_as_they_are(std::span<Frame* const> frames, const PortView& view) {
  if (view.trunk) return false;
  const PortCapabilities can = view.attached->port->capabilities();
  if (can.tcp_segmentation && can.udp_segmentation && can.checksum) return true;
  auto fits = [&](const Frame* f) { return takes(can, f->offload) && (can.checksum || !f->offload.partial_checksum); };
  return std::all_of(frames.begin(), frames.end(), fits);
}

// Writes the frames of a workload that has the port to itself.
void write_as_they_are(Context& ctx, std::span<Frame* const> frames, const PortView& view, unsigned queue) {
  uint64_t packets = 0, bytes = 0;
  for (size_t from = 0; from < frames.size(); from += kMost) {
    Reason outcomes[kMost];
    size_t count = std::min(kMost, frames.size() - from);
    view.attached->port->transmit(queue, frames.subspan(from, count), {outcomes, count});
    for (size_t i = 0; i < count; ++i) {
      if (outcomes[i] != Reason::kNone) {
        drop(ctx, *frames[from + i], view.workload, outcomes[i], Direction::kIn);
        continue;
      }
      packets += frames[from + i]->headers.wire_packets;
      bytes += frames[from + i]->length;
    }
  }
  WorkloadCounters& counters = ctx.counters.workloads[view.workload];
  counters.received_packets += packets;
  counters.received_bytes += bytes;
}

}  // namespace

void transmit_outputs(Context& ctx, unsigned queue) {
  for (uint16_t place : ctx.outputs.ports()) {
    const PortView& view = ctx.generation->ports[place];
    const OutputQueue outputs = ctx.outputs.queue(place);
    if (fit_as_they_are(outputs.frames, view)) {
      write_as_they_are(ctx, outputs.frames, view, queue);
      continue;
    }
    Writer writer(ctx, view, queue);
    for (size_t i = 0; i < outputs.frames.size(); ++i) writer.write(*outputs.frames[i], outputs.workloads[i]);
    writer.flush();
  }
  for (Frame* frame : ctx.outputs.own()) ctx.pool.release(frame);
  ctx.outputs.clear();
}

}  // namespace headgate
