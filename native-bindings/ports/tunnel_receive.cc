#include "ports/tunnel_receive.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packet/wire.h"

namespace headgate {
namespace {

// The kernel joins as many datagrams at most (UDP_MAX_SEGMENTS is 64 or 128 for senders, 512 for receivers).
constexpr size_t kMostPieces = 512;

uint32_t segment_size(const msghdr& message) {
  for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
    if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO) continue;
    int size = 0;
    memcpy(&size, CMSG_DATA(c), sizeof size);
    return size > 0 ? static_cast<uint32_t>(size) : 0;
  }
  return 0;
}

}  // namespace

TunnelReceiver::TunnelReceiver(const Encapsulation& encapsulation, const Encapsulator& own,
                               const OuterAddresses& addresses, int socket)
    : encapsulation_(encapsulation),
      own_(own),
      addresses_(addresses),
      socket_(socket),
      bytes_(new uint8_t[kMessages * kMessage]),
      messages_(kMessages),
      kernel_(kMessages) {
  pieces_.reserve(kMessages * kMostPieces);
}

size_t TunnelReceiver::receive(std::span<Frame* const> frames, uint32_t most) {
  if (!has_more()) read_messages();
  size_t count = 0;
  for (; count < frames.size() && has_more(); ++count)
    next_ += join(std::span(pieces_).subspan(next_), most, *frames[count]);
  return count;
}

// Few long messages, so that they are still in the cache when they are copied, or many short ones.
void TunnelReceiver::read_messages() {
  if (socket_ < 0) return;
  for (size_t i = 0; i < batch_; ++i) {
    Message& message = messages_[i];
    message.part = {&bytes_[i * kMessage], kMessage};
    msghdr& kernel = kernel_[i].msg_hdr;
    kernel = {};
    kernel.msg_name = &message.from;
    kernel.msg_namelen = sizeof message.from;
    kernel.msg_iov = &message.part;
    kernel.msg_iovlen = 1;
    kernel.msg_control = message.control.bytes;
    kernel.msg_controllen = sizeof message.control.bytes;
  }
  int got;
  do {
    got = recvmmsg(socket_, kernel_.data(), static_cast<unsigned>(batch_), 0, nullptr);
  } while (got < 0 && errno == EINTR);
  uint32_t longest = 0;
  for (size_t i = 0; got > 0 && i < static_cast<size_t>(got); ++i) {
    longest = std::max(longest, kernel_[i].msg_len);
    take_apart(messages_[i], kernel_[i].msg_hdr, kernel_[i].msg_len);
  }
  if (got > 0) batch_ = longest > kMessage / 8 ? kFewMessages : kMessages;
}

void TunnelReceiver::take_apart(const Message& message, const msghdr& kernel, uint32_t length) {
  if (addresses_.carrier() == Carrier::kEthernet && message.from.link.sll_pkttype != PACKET_HOST) return;
  const auto* bytes = static_cast<const uint8_t*>(message.part.iov_base);
  const Address from = addresses_.from_kernel(message.from);
  // Raw sockets hand the IPv4 header over, checked by the kernel.
  if (addresses_.carrier() == Carrier::kIp && !addresses_.v6()) {
    const uint32_t header = length ? (bytes[0] & 15) * 4u : 0;
    if (length < kIpv4Header || header < kIpv4Header || header > length) return;
    bytes += header;
    length -= header;
  }
  take(bytes, length, segment_size(kernel), from);
}

void TunnelReceiver::take(const uint8_t* bytes, uint32_t length, uint32_t segment, const Address& from) {
  if (!has_more()) {
    pieces_.clear();
    next_ = 0;
  }
  if (segment == 0 || length / segment >= kMostPieces) segment = length;
  do {
    const uint32_t part = std::min(segment, length);
    read_packet(bytes, part, from);
    bytes += part;
    length -= part;
  } while (length);
}

void TunnelReceiver::read_packet(const uint8_t* bytes, uint32_t length, const Address& from) {
  if (pieces_.size() == pieces_.capacity()) return;
  Piece piece;
  piece.hop.remote = from;
  Encapsulated found;
  piece.hop.refused = encapsulation_.read(own_, {bytes, length}, found);
  if (piece.hop.refused == Reason::kNone) {
    piece.hop.key = found.key;
    piece.data = bytes + found.inner;
    piece.length = length - found.inner;
  }
  pieces_.push_back(piece);
}

}  // namespace headgate
