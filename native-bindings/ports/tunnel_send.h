// Sends frames through a tunnel's sockets: encapsulates them, cuts super-frames, and hands what comes of it to the
// kernel in as few messages and calls as there can be. Payload is not copied: a message is a row of headers, made here,
// and of pieces of the frames.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <span>

#include "ports/tunnel_sockets.h"

namespace headgate {

class TunnelSender {
 public:
  // sendmmsg(2), or what tests have in its place.
  using Send = int (*)(int socket, mmsghdr* messages, unsigned count, int flags);

  TunnelSender(const Encapsulation& encapsulation, const Encapsulator& own, const OuterAddresses& addresses,
               const TunnelSockets& sockets, Send send = sendmmsg);

  // As Port::transmit.
  void transmit(std::span<Frame* const> frames, std::span<Reason> outcomes);

 private:
  static constexpr size_t kMessages = 64;  // in one call
  static constexpr size_t kParts = 1024;
  static constexpr size_t kHeaderBytes = 96 * 1024;
  static constexpr size_t kMostSegments = 64;  // of a message: UDP_MAX_SEGMENTS before Linux 6.8
  // An outer packet before it is cut: 64 KiB with its IPv6 and UDP header.
  static constexpr uint32_t kMostMessage = 65535 - 48;

  struct Message {
    size_t first_frame, last_frame;  // that have a part in it
    uint32_t length = 0;
    uint32_t segment = 0;  // bytes of each but the last
    uint32_t segments = 0;
    bool closed = false;  // a shorter segment is the last
    TunnelHop hop;
  };
  struct alignas(cmsghdr) Control {
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  void add_frame(size_t number, const Frame& frame);
  void add_segment(size_t number, const Frame& frame, uint32_t headers, iovec payload);
  bool fits(const Message& message, const Frame& frame, uint32_t length) const;
  Message& begin_message(size_t number, const Frame& frame);
  void flush();
  size_t send_from(size_t message);
  size_t sender_of(const Frame& frame) const;

  const Encapsulation& encapsulation_;
  const Encapsulator& own_;
  const OuterAddresses& addresses_;
  const TunnelSockets& sockets_;
  const bool segmentation_;
  const Send send_;

  std::span<Frame* const> frames_;
  std::span<Reason> outcomes_;
  size_t sender_ = 0;  // whose frames are being sent
  int socket_ = -1;
  bool join_ = false;  // segments into messages
  size_t messages_ = 0, parts_ = 0;
  uint32_t header_bytes_ = 0;
  std::array<Message, kMessages> message_;
  std::array<mmsghdr, kMessages> kernel_;
  std::array<OuterAddress, kMessages> to_;
  std::array<Control, kMessages> control_;
  std::array<iovec, kParts> part_;
  std::array<uint8_t, kHeaderBytes> headers_;
};

}  // namespace headgate
