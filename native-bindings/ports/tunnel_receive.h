// Receives from a tunnel's socket: takes what the kernel has joined (UDP_GRO) apart, reads the encapsulation's headers,
// and makes frames of what is inside, joined again where they belong together (ports/join.h).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <span>
#include <vector>

#include "ports/join.h"
#include "ports/tunnel_sockets.h"

namespace headgate {

class TunnelReceiver {
 public:
  TunnelReceiver(const Encapsulation& encapsulation, const Encapsulator& own, const OuterAddresses& addresses,
                 int socket);

  // As Port::receive. `most`: as join() wants it.
  size_t receive(std::span<Frame* const> frames, uint32_t most);
  bool has_more() const { return next_ < pieces_.size(); }

  // What stands behind the outer headers of one packet, or of several of `segment` bytes that were joined; 0: of one.
  // The bytes are used until receive() has handed all of it on.
  void take(const uint8_t* bytes, uint32_t length, uint32_t segment, const Address& from);

 private:
  static constexpr size_t kMessages = 64;
  static constexpr size_t kFewMessages = 4;  // of 64 KiB: they are to stay in the cache
  static constexpr uint32_t kMessage = 65536;

  struct alignas(cmsghdr) Control {
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
  };
  struct Message {
    OuterAddress from;
    Control control;
    iovec part;
  };

  void read_messages();
  void take_apart(const Message& message, const msghdr& kernel, uint32_t length);
  void read_packet(const uint8_t* bytes, uint32_t length, const Address& from);

  const Encapsulation& encapsulation_;
  const Encapsulator& own_;
  const OuterAddresses& addresses_;
  const int socket_;
  size_t batch_ = kFewMessages;
  // Pages are touched only as far as messages reach.
  std::unique_ptr<uint8_t[]> bytes_;
  std::vector<Message> messages_;
  std::vector<mmsghdr> kernel_;
  std::vector<Piece> pieces_;  // never more than there is room for
  size_t next_ = 0;
};

}  // namespace headgate
