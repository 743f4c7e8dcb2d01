#include "ports/tunnel_send.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packet/segment.h"
#include "ports/outcomes.h"

namespace headgate {
namespace {

// Ethernet, two tags, IPv6 and the longest TCP header there is, and room for extension headers.
constexpr uint32_t kMostInnerHeaders = 1024;

}  // namespace

TunnelSender::TunnelSender(const Encapsulation& encapsulation, const Encapsulator& own, const OuterAddresses& addresses,
                           const TunnelSockets& sockets, Send send)
    : encapsulation_(encapsulation),
      own_(own),
      addresses_(addresses),
      sockets_(sockets),
      segmentation_(addresses.carrier() == Carrier::kUdp),
      send_(send) {}

// Frames of one sender go together, in order: so those of a flow stay in order, and what the sender port tells apart is
// no reason for another call more than once.
void TunnelSender::transmit(std::span<Frame* const> frames, std::span<Reason> outcomes) {
  frames_ = frames;
  outcomes_ = outcomes;
  std::fill_n(outcomes.begin(), frames.size(), Reason::kNone);
  uint64_t left = 0;  // senders that have frames
  for (const Frame* frame : frames) left |= uint64_t{1} << sender_of(*frame);
  for (sender_ = 0; left; ++sender_, left >>= 1) {
    if (!(left & 1)) continue;
    const bool fragmenting = sender_ == kSenders;
    socket_ = fragmenting ? sockets_.fragmenting : sockets_.sender[sender_];
    join_ = segmentation_ && !fragmenting;
    for (size_t i = 0; i < frames.size(); ++i)
      if (sender_of(*frames[i]) == sender_) add_frame(i, *frames[i]);
    flush();
  }
}

size_t TunnelSender::sender_of(const Frame& frame) const {
  if (frame.hop.fragment && sockets_.fragmenting >= 0) return kSenders;
  return frame.headers.tracked ? frame.headers.hash % sockets_.senders : 0;
}

void TunnelSender::add_frame(size_t number, const Frame& frame) {
  const uint32_t room = own_.length + kMostInnerHeaders;
  const bool cut = frame.offload.kind != Offload::kNone;
  const uint32_t pieces = cut ? frame.headers.wire_packets : 1;
  for (uint32_t i = 0; i < pieces; ++i) {
    if (parts_ + 2 > kParts || header_bytes_ + room > kHeaderBytes) flush();
    uint8_t* header = &headers_[header_bytes_];
    encapsulation_.write(own_, frame.hop.key, header);
    if (!cut) {
      add_segment(number, frame, own_.length, {frame.data, frame.length});
    } else if (frame.headers.payload_offset <= kMostInnerHeaders) {
      const SegmentPayload payload = build_segment_headers(frame, i, header + own_.length);
      add_segment(number, frame, own_.length + frame.headers.payload_offset,
                  {frame.data + payload.from, payload.length});
    } else {
      outcomes_[number] = Reason::kOutputUnsegmentable;
    }
  }
}

void TunnelSender::add_segment(size_t number, const Frame& frame, uint32_t headers, iovec payload) {
  const uint32_t length = headers + static_cast<uint32_t>(payload.iov_len);
  Message* message = messages_ ? &message_[messages_ - 1] : nullptr;
  if (!message || !fits(*message, frame, length)) message = &begin_message(number, frame);
  if (message->segments == 0) message->segment = length;
  message->closed = length < message->segment;
  message->length += length;
  message->last_frame = number;
  ++message->segments;
  msghdr& kernel = kernel_[messages_ - 1].msg_hdr;
  if (kernel.msg_iovlen == 0) kernel.msg_iov = &part_[parts_];
  part_[parts_++] = {&headers_[header_bytes_], headers};
  part_[parts_++] = payload;
  kernel.msg_iovlen += 2;
  header_bytes_ += headers;
}

// Whether the kernel can cut the message so that this segment comes out of it.
bool TunnelSender::fits(const Message& message, const Frame& frame, uint32_t length) const {
  return join_ && !message.closed && message.segments < kMostSegments && length <= message.segment &&
         message.length + length <= kMostMessage && message.hop.remote == frame.hop.remote;
}

TunnelSender::Message& TunnelSender::begin_message(size_t number, const Frame& frame) {
  if (messages_ == kMessages) {
    // The header of the segment that comes is behind those that go.
    const uint32_t at = header_bytes_;
    flush();
    header_bytes_ = at;
  }
  Message& message = message_[messages_];
  message = {number, number, 0, 0, 0, false, frame.hop};
  addresses_.to_kernel(frame.hop.remote, to_[messages_]);
  msghdr& kernel = kernel_[messages_].msg_hdr;
  kernel = {};
  kernel.msg_name = &to_[messages_];
  kernel.msg_namelen = addresses_.size();
  ++messages_;
  return message;
}

void TunnelSender::flush() {
  for (size_t i = 0; i < messages_; ++i) {
    if (message_[i].segments < 2) continue;
    msghdr& kernel = kernel_[i].msg_hdr;
    kernel.msg_control = control_[i].bytes;
    kernel.msg_controllen = sizeof control_[i].bytes;
    cmsghdr* control = CMSG_FIRSTHDR(&kernel);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto segment = static_cast<uint16_t>(message_[i].segment);
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
  }
  for (size_t sent = 0; sent < messages_;) sent += send_from(sent);
  messages_ = parts_ = 0;
  header_bytes_ = 0;
}

// Returns how many messages are dealt with, sent or not.
size_t TunnelSender::send_from(size_t first) {
  int sent;
  do {
    sent = send_(socket_, &kernel_[first], static_cast<unsigned>(messages_ - first), 0);
  } while (sent < 0 && errno == EINTR);
  if (sent > 0) return static_cast<size_t>(sent);
  // EINVAL: segments longer than the path MTU. A full buffer is full for the others too.
  const Reason reason = errno == EINVAL ? Reason::kOutputTooBig : output_reason(errno);
  const size_t last = errno == EAGAIN ? messages_ - 1 : first;
  for (size_t i = message_[first].first_frame; i <= message_[last].last_frame; ++i)
    if (sender_of(*frames_[i]) == sender_) outcomes_[i] = reason;
  return last - first + 1;
}

}  // namespace headgate
