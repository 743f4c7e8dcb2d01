// Lines for frames; see trace.h.
#include "ports/trace.h"

#include <cstdio>

namespace headgate {
namespace {

const char* kind_name(Offload::Kind kind) {
  switch (kind) {
    case Offload::kNone:
      return "";
    case Offload::kTcp4:
      return "tcp4";
    case Offload::kUdpFragments:
      return "udp-fragments";
    case Offload::kTcp6:
      return "tcp6";
    case Offload::kUdp:
      return "udp";
  }
  return "unknown-offload";
}

std::string describe(const Frame& frame) {
  std::string line = std::to_string(frame.length) + " bytes";
  if (frame.length >= 14) {
    const uint8_t* d = frame.data;
    char text[64];
    std::snprintf(text, sizeof text, " %02x:%02x:%02x:%02x:%02x:%02x > %02x:%02x:%02x:%02x:%02x:%02x 0x%02x%02x", d[6],
                  d[7], d[8], d[9], d[10], d[11], d[0], d[1], d[2], d[3], d[4], d[5], d[12], d[13]);
    line += text;
  }
  const Offload& offload = frame.offload;
  if (offload.kind != Offload::kNone) {
    line += std::string(" ") + kind_name(offload.kind) + " segments of " + std::to_string(offload.segment_size);
  }
  if (offload.partial_checksum) line += offload.kind == Offload::kNone ? " partial checksum" : ", partial checksum";
  return line;
}

}  // namespace

TracePort::TracePort(std::unique_ptr<Port> inner, std::string name, Sink sink)
    : PortWrapper(std::move(inner)), name_(std::move(name)), sink_(std::move(sink)) {}

size_t TracePort::receive(unsigned queue, std::span<Frame* const> frames) {
  const size_t count = inner_->receive(queue, frames);
  for (size_t i = 0; i < count; i++) sink_(name_ + " received " + describe(*frames[i]));
  return count;
}

void TracePort::transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  inner_->transmit(queue, frames, outcomes);
  for (size_t i = 0; i < frames.size(); i++) {
    if (outcomes[i] == Reason::kNone) {
      sink_(name_ + " sent " + describe(*frames[i]));
    } else {
      const char* why = kReasonTexts[static_cast<size_t>(outcomes[i])].text;
      sink_(name_ + " refused " + describe(*frames[i]) + ": " + why);
    }
  }
}

}  // namespace headgate
