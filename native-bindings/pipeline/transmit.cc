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

// Gives the frame these tags in the place of its own. What a tag has beside its id (priority, drop eligibility, kind)
// stays with the outer one and with the inner one; a tag that nothing asks for goes, but for one without an id.
void replace_tags(Frame& frame, const uint16_t vlan[2]) {
  constexpr uint16_t kId = 0x0fff;
  const int had = frame.headers.tags;
  const int tags = vlan[1] ? 2 : vlan[0] || (had == 1 && !(frame.headers.vlan[0] & kId)) ? 1 : 0;
  uint8_t addresses[12];
  uint16_t kinds[2] = {static_cast<uint16_t>(tags == 2 ? kEtherQinQ : kEtherVlan), kEtherVlan}, controls[2] = {};
  memcpy(addresses, frame.data, 12);
  for (int i = 0; i < std::min(had, tags); ++i) {
    kinds[i] = load16(frame.data + 12 + i * static_cast<int>(kVlanTag));
    controls[i] = frame.headers.vlan[i];
  }
  shift_offsets(frame, (tags - had) * static_cast<int>(kVlanTag));
  memcpy(frame.data, addresses, 12);
  for (int i = 0; i < tags; ++i) {
    frame.headers.vlan[i] = static_cast<uint16_t>((controls[i] & ~kId) | vlan[i]);
    store16(frame.data + 12 + i * static_cast<int>(kVlanTag), kinds[i]);
    store16(frame.data + 14 + i * static_cast<int>(kVlanTag), frame.headers.vlan[i]);
  }
  frame.headers.tags = static_cast<uint8_t>(tags);
}

// The VLAN tags of a service key: two where it is longer than one.
int push_key(Frame& frame, uint32_t key) {
  const auto id = [](uint32_t bits) { return static_cast<uint16_t>(bits & 0x0fff); };
  const uint16_t tags[2] = {key >> 12 ? id(key >> 12) : id(key), key >> 12 ? id(key) : uint16_t{0}};
  return push_tags(frame, tags);
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
      : ctx_(ctx),
        port_(*view.attached->port),
        can_(port_.capabilities()),
        trunk_(view.trunk),
        edge_(view.edge),
        tunnel_(view.tunnel),
        queue_(queue) {}

  void write(Frame& frame, uint32_t workload) {
    if (edge_) replace_tags(frame, frame.bridge->vlan[static_cast<int>(*ctx_.workload(workload).side)]);
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
    if (tunnel_) {
      // A flooded frame goes to several remotes.
      if (count_ && frames_[count_ - 1] == &frame) flush();
      const Workload& far = ctx_.workload(workload);
      const uint32_t most = far.remote->most.load(std::memory_order_relaxed);
      set_hop(frame, far);
      if (frame.passage.key) frame.hop.key = frame.passage.key;
      frame.hop.fragment = far.remote->fragment && most != 0 && longest_segment(frame) > most;
    }
    frames_[count_] = &frame;
    workloads_[count_] = workload;
    ours_[count_] = ours;
    tag_bytes_[count_] = 0;
    if (trunk_ && frame.passage.key) {
      tag_bytes_[count_] = push_key(frame, frame.passage.key);
    } else if (trunk_) {
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
      piece->passage = frame.passage;
      add(*piece, workload, true);
    }
  }

  Context& ctx_;
  Port& port_;
  PortCapabilities can_;
  bool trunk_;
  bool edge_;
  bool tunnel_;
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
  if (view.trunk || view.edge || view.tunnel) return false;
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
