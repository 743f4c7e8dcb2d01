// The sockets of a tunnel, and outer addresses as the kernel has them (udp(7), raw(7), packet(7)).
#pragma once

#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ports/tunnel.h"

namespace headgate {

// An address of the family that the tunnel's carrier needs.
union OuterAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_ll link;
};

// UDP tunnels send from so many ports, chosen by the flow: what spreads flows on the way goes by them (RFC 7348, 5).
constexpr size_t kSenders = 8;

struct TunnelSockets {
  int receiver = -1;  // of the first queue alone where the kernel does not spread packets over sockets
  size_t senders = 0;
  int sender[kSenders];
  int fragmenting = -1;  // sends what is longer than the path MTU, in fragments; -1: there is no such

  TunnelSockets() = default;
  TunnelSockets(TunnelSockets&& other) noexcept;
  ~TunnelSockets();
};

class OuterAddresses {
 public:
  // In the namespace of the underlay. False with `error` set when the interface is missing.
  bool set_up(const TunnelSpec& spec, std::string& error);

  Carrier carrier() const { return carrier_; }
  bool v6() const { return v6_; }
  // Of the outer packet behind which the encapsulation stands.
  uint32_t header_length() const;
  socklen_t size() const;
  void to_kernel(const Address& address, OuterAddress& out) const;
  Address from_kernel(const OuterAddress& in) const;
  // The address to be bound to: that of this host, with the port or 0.
  OuterAddress own(bool with_port) const;

 private:
  Carrier carrier_ = Carrier::kUdp;
  bool v6_ = false;
  uint16_t number_ = 0;
  int index_ = 0;  // of the interface
  Address local_;
};

// Of one queue; in the namespace of the underlay.
bool open_sockets(const TunnelSpec& spec, const OuterAddresses& addresses, unsigned queue, TunnelSockets& out,
                  std::string& error);
// A socket by which the path MTU of remotes is asked for.
int open_probe(const TunnelSpec& spec, const OuterAddresses& addresses);
// Bytes of the longest outer packet on the way to the remote; 0: there is none.
uint32_t path_mtu(int probe, const TunnelSpec& spec, const OuterAddresses& addresses, const Address& remote);

}  // namespace headgate
