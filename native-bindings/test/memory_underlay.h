// An underlay in memory: what a TunnelSender gives to sendmmsg(2) is kept, and given to a TunnelReceiver as the kernel
// would, joined messages and all.
#pragma once

#include <netinet/udp.h>

#include <memory>
#include <stdexcept>

#include "ports/tunnel_receive.h"
#include "ports/tunnel_send.h"
#include "tables/address_set.h"
#include "test/frames.h"

namespace headgate::test {

struct OuterMessage {
  Bytes bytes;
  uint32_t segment = 0;  // 0: one packet
  OuterAddress to;
};

class MemoryUnderlay {
 public:
  explicit MemoryUnderlay(const Encapsulation& encapsulation, const EncapsulationOptions& options = {},
                          const char* local = "192.0.2.1", uint16_t number = 0) {
    spec.encapsulation = &encapsulation;
    spec.options = options;
    spec.local = *parse_address(local);
    spec.number = number;
    if (encapsulation.carrier == Carrier::kEthernet) spec.device = "lo";
    std::string error;
    if (!encapsulation.prepare(options, own, error) || !addresses.set_up(spec, error)) throw std::runtime_error(error);
    // No descriptors: they are never used.
    sockets.senders = spec.carrier() == Carrier::kUdp ? kSenders : 1;
    std::fill_n(sockets.sender, kSenders, -1);
    sender = std::make_unique<TunnelSender>(encapsulation, own, addresses, sockets, keep);
    receiver = std::make_unique<TunnelReceiver>(encapsulation, own, addresses, -1);
  }
  ~MemoryUnderlay() { sockets.senders = 0; }

  // What was sent since.
  static std::vector<OuterMessage>& sent() {
    static std::vector<OuterMessage> messages;
    return messages;
  }

  TunnelSpec spec;
  Encapsulator own;
  OuterAddresses addresses;
  TunnelSockets sockets;
  std::unique_ptr<TunnelSender> sender;
  std::unique_ptr<TunnelReceiver> receiver;

 private:
  static int keep(int, mmsghdr* messages, unsigned count, int) {
    for (unsigned i = 0; i < count; ++i) {
      const msghdr& m = messages[i].msg_hdr;
      OuterMessage& message = sent().emplace_back();
      for (size_t k = 0; k < m.msg_iovlen; ++k) {
        const auto* part = static_cast<const uint8_t*>(m.msg_iov[k].iov_base);
        message.bytes.insert(message.bytes.end(), part, part + m.msg_iov[k].iov_len);
      }
      if (const cmsghdr* c = CMSG_FIRSTHDR(&m)) {
        uint16_t segment;
        std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
        message.segment = segment;
      }
      std::memcpy(&message.to, m.msg_name, m.msg_namelen);
    }
    return static_cast<int>(count);
  }
};

}  // namespace headgate::test
