// FragmentTable::save and restore: held frames lie in buffers that workers pass on to each other, so what is known of
// unfinished datagrams is written to the pool only when an engine lets go of it in order, and made anew by the next.
// After a crash it is gone, with the frames of the batch: those datagrams are sent again.
#include <algorithm>
#include <cstring>
#include <utility>

#include "tables/fragments.h"

namespace headgate {
namespace {

// What is kept of a held frame beside its bytes.
struct SavedFrame {
  uint32_t length;
  Offload offload;
  Headers headers;
  FragmentPart part;
  uint32_t source_workload;
  uint32_t destination_workload;
};

struct Writer {
  uint8_t* at;
  void put(const void* from, size_t bytes) {
    memcpy(at, from, bytes);
    at += bytes;
  }
};

struct Reader {
  const uint8_t* at;
  const uint8_t* end;
  bool take(void* to, size_t bytes) {
    if (static_cast<size_t>(end - at) < bytes) return false;
    memcpy(to, at, bytes);
    at += bytes;
    return true;
  }
};

}  // namespace

size_t FragmentTable::saved_bytes() {
  return sizeof(uint64_t) + kDatagrams * (sizeof(Datagram) + sizeof(uint32_t)) +
         kHeld * (sizeof(SavedFrame) + kMaxFrame);
}

void FragmentTable::save(uint8_t* memory) const {
  Writer out{memory + sizeof(uint64_t)};
  for (Place place = ages_.oldest; place; place = all_[place].by_age.newer) {
    const Datagram& d = all_[place];
    uint32_t held = 0;
    for (Place at = d.held_first; at; at = frames_[at].next) ++held;
    out.put(&d, sizeof d);
    out.put(&held, sizeof held);
    for (Place at = d.held_first; at; at = frames_[at].next) {
      const Frame& frame = *frames_[at].frame;
      const SavedFrame saved{frame.length, frame.offload,         frame.headers,
                             frame.part,   frame.source_workload, frame.destination_workload};
      out.put(&saved, sizeof saved);
      out.put(frame.data, frame.length);
    }
  }
  const uint64_t length = static_cast<uint64_t>(out.at - memory) - sizeof length;
  memcpy(memory, &length, sizeof length);
}

void FragmentTable::restore(uint8_t* memory, size_t workloads) {
  uint64_t length;
  memcpy(&length, memory, sizeof length);
  const uint64_t none = 0;
  memcpy(memory, &none, sizeof none);
  const uint8_t* from = memory + sizeof length;
  Reader in{from, from + std::min<uint64_t>(length, saved_bytes() - sizeof length)};
  if (shares_.size() < workloads) shares_.resize(workloads);
  Datagram saved;
  uint32_t held;
  while (in.at < in.end && in.take(&saved, sizeof saved) && in.take(&held, sizeof held)) {
    const Place place = saved.workload < workloads ? make(saved, saved.workload, saved.created) : Place{0};
    if (place) {
      Datagram& d = all_[place];
      d.map = saved.map;
      d.flow_protocol = saved.flow_protocol;
      d.icmp_type = saved.icmp_type;
      d.icmp_code = saved.icmp_code;
      d.source_port = saved.source_port;
      d.destination_port = saved.destination_port;
      d.refused = saved.refused;
      if (saved.settled) settle(place);
    }
    for (; held; --held)
      if (!restore_frame(in, place)) return;
    if (place && saved.settled && all_[place].held_first) make_ready(place);
  }
}

bool FragmentTable::restore_frame(auto& in, Place place) {
  SavedFrame saved;
  if (!in.take(&saved, sizeof saved) || saved.length > kMaxFrame) return false;
  if (!place || spare_.empty()) return static_cast<size_t>(in.end - in.at) >= saved.length && (in.at += saved.length);
  Frame& frame = *frames_[spare_.back()].frame;
  FramePool::clear(frame);
  if (!in.take(frame.data, saved.length)) return false;
  frame.length = saved.length;
  frame.offload = saved.offload;
  frame.headers = saved.headers;
  frame.part = saved.part;
  frame.source_workload = saved.source_workload;
  frame.destination_workload = saved.destination_workload;
  keep(place);
  return true;
}

}  // namespace headgate
