#include "ports/tunnel_sockets.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "ports/errors.h"
#include "tables/address_set.h"

namespace headgate {
namespace {

constexpr int kReceiveBuffer = 32 << 20;
constexpr int kSendBuffer = 8 << 20;
constexpr int kUdpNoCheck6Receive = 102;  // UDP_NO_CHECK6_RX, linux/udp.h

bool set_option(int socket, int level, int name, int value) {
  return setsockopt(socket, level, name, &value, sizeof value) == 0;
}

void set_buffers(int socket) {
  // As far as net.core allows where the engine may not force it.
  if (!set_option(socket, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer))
    set_option(socket, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
  if (!set_option(socket, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer))
    set_option(socket, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
}

// Nothing is received there.
void keep_empty(int socket) {
  sock_filter nothing[] = {{BPF_RET | BPF_K, 0, 0, 0}};
  const sock_fprog program = {1, nothing};
  setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

std::string hint(int error, const TunnelSpec& spec) {
  switch (error) {
    case EADDRINUSE:
      return "Another program or tunnel has the address and port: stop it, or set another `port`.";
    case EADDRNOTAVAIL:
      return "`local` is no address of the underlay: put it on an interface there, or correct it.";
    case EPERM:
      return "The engine needs CAP_NET_RAW and CAP_NET_ADMIN in that namespace.";
    case ENODEV:
      return "Create the interface " + spec.device + " or correct `interface`.";
    default:
      return "Check `local`, `port` and `interface`.";
  }
}

class Opener {
 public:
  Opener(const TunnelSpec& spec, const OuterAddresses& addresses, std::string& error)
      : spec_(spec), addresses_(addresses), error_(error) {}

  int open_udp(bool with_port, int discover) {
    const int fd = open(family(), SOCK_DGRAM, 0);
    if (fd < 0) return fail(fd, "UDP socket");
    if (with_port && spec_.queues > 1 && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return fail(fd, "SO_REUSEPORT");
    if (with_port && !set_option(fd, SOL_UDP, UDP_GRO, 1)) return fail(fd, "UDP_GRO");
    if (with_port && addresses_.v6()) set_option(fd, SOL_UDP, kUdpNoCheck6Receive, 1);
    return bound(fd, with_port, discover);
  }

  int open_raw(int discover) {
    const int fd = open(family(), SOCK_RAW, spec_.encapsulation->number);
    return fd < 0 ? fail(fd, "raw socket") : bound(fd, false, discover);
  }

  int open_packet(bool receives) {
    const uint16_t protocol = receives ? spec_.encapsulation->number : uint16_t{0};
    const int fd = open(AF_PACKET, SOCK_DGRAM, htons(protocol));
    if (fd < 0) return fail(fd, "packet socket");
    OuterAddress own = addresses_.own(receives);
    if (bind(fd, &own.any, addresses_.size()) != 0) return fail(fd, "bind");
    set_buffers(fd);
    return fd;
  }

 private:
  int family() const { return addresses_.v6() ? AF_INET6 : AF_INET; }
  static int open(int family, int type, int protocol) {
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  }

  int bound(int fd, bool with_port, int discover) {
    const bool v6 = addresses_.v6();
    if (v6) set_option(fd, SOL_IPV6, IPV6_V6ONLY, 1);
    if (!set_option(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, discover))
      return fail(fd, "path MTU discovery");
    if (!spec_.device.empty() &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, spec_.device.data(), static_cast<socklen_t>(spec_.device.size())))
      return fail(fd, "interface");
    const OuterAddress own = addresses_.own(with_port);
    if (bind(fd, &own.any, addresses_.size()) != 0) return fail(fd, "bind");
    set_buffers(fd);
    return fd;
  }

  int fail(int fd, const char* what) {
    const int cause = errno;
    if (fd >= 0) close(fd);
    error_ = "Tunnel " + spec_.name + " cannot be opened" +
             (spec_.netns.empty() ? "" : " in namespace " + spec_.netns) + ": " + what + ": " + errno_text(cause) +
             ". " + hint(cause, spec_);
    return -1;
  }

  const TunnelSpec& spec_;
  const OuterAddresses& addresses_;
  std::string& error_;
};

bool open_udp_sockets(Opener& opener, TunnelSockets& out) {
  if (out.receiver < 0 && (out.receiver = opener.open_udp(true, IP_PMTUDISC_DO)) < 0) return false;
  for (; out.senders < kSenders; ++out.senders) {
    int& sender = out.sender[out.senders];
    if ((sender = opener.open_udp(false, IP_PMTUDISC_DO)) < 0) return false;
    keep_empty(sender);
  }
  if ((out.fragmenting = opener.open_udp(false, IP_PMTUDISC_DONT)) < 0) return false;
  keep_empty(out.fragmenting);
  return true;
}

// Every raw socket gets every packet: one alone receives.
bool open_raw_sockets(Opener& opener, unsigned queue, TunnelSockets& out) {
  if (queue == 0 && out.receiver < 0 && (out.receiver = opener.open_raw(IP_PMTUDISC_DO)) < 0) return false;
  if ((out.sender[0] = opener.open_raw(IP_PMTUDISC_DO)) < 0) return false;
  out.senders = 1;
  keep_empty(out.sender[0]);
  if ((out.fragmenting = opener.open_raw(IP_PMTUDISC_DONT)) < 0) return false;
  keep_empty(out.fragmenting);
  return true;
}

bool open_packet_sockets(Opener& opener, unsigned queue, TunnelSockets& out) {
  if (queue == 0 && out.receiver < 0 && (out.receiver = opener.open_packet(true)) < 0) return false;
  if ((out.sender[0] = opener.open_packet(false)) < 0) return false;
  out.senders = 1;
  return true;
}

// Address <-> MAC: RFC 4291, appendix A.
void mac_of(const Address& a, uint8_t* mac) {
  const uint8_t* b = a.bytes.data() + 8;
  const uint8_t bytes[6] = {static_cast<uint8_t>(b[0] ^ 2), b[1], b[2], b[5], b[6], b[7]};
  memcpy(mac, bytes, 6);
}

}  // namespace

TunnelSockets::TunnelSockets(TunnelSockets&& other) noexcept
    : receiver(std::exchange(other.receiver, -1)),
      senders(std::exchange(other.senders, 0)),
      fragmenting(std::exchange(other.fragmenting, -1)) {
  memcpy(sender, other.sender, sizeof sender);
}

TunnelSockets::~TunnelSockets() {
  if (receiver >= 0) close(receiver);
  if (fragmenting >= 0) close(fragmenting);
  for (size_t i = 0; i < senders; ++i) close(sender[i]);
}

bool OuterAddresses::set_up(const TunnelSpec& spec, std::string& error) {
  carrier_ = spec.carrier();
  local_ = spec.local;
  v6_ = carrier_ != Carrier::kEthernet && !is_ipv4(spec.local);
  number_ = spec.number && carrier_ == Carrier::kUdp ? spec.number : spec.encapsulation->number;
  index_ = spec.device.empty() ? 0 : static_cast<int>(if_nametoindex(spec.device.c_str()));
  if (index_ || (spec.device.empty() && carrier_ != Carrier::kEthernet)) return true;
  error = "Tunnel " + spec.name + ": interface '" + spec.device + "' of the underlay: " + errno_text(ENODEV) +
          ". Create it or correct `interface`.";
  return false;
}

uint32_t OuterAddresses::header_length() const {
  if (carrier_ == Carrier::kEthernet) return 0;
  return (v6_ ? 40u : 20u) + (carrier_ == Carrier::kUdp ? 8u : 0u);
}

socklen_t OuterAddresses::size() const {
  if (carrier_ == Carrier::kEthernet) return sizeof(sockaddr_ll);
  return v6_ ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

void OuterAddresses::to_kernel(const Address& address, OuterAddress& out) const {
  const uint16_t port = carrier_ == Carrier::kUdp ? htons(number_) : uint16_t{0};
  if (carrier_ == Carrier::kEthernet) {
    out.link = {};
    out.link.sll_family = AF_PACKET;
    out.link.sll_protocol = htons(number_);
    out.link.sll_ifindex = index_;
    out.link.sll_halen = 6;
    mac_of(address, out.link.sll_addr);
  } else if (v6_) {
    out.v6 = {};
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = port;
    memcpy(&out.v6.sin6_addr, address.bytes.data(), 16);
  } else {
    out.v4 = {};
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = port;
    memcpy(&out.v4.sin_addr, address.bytes.data() + 12, 4);
  }
}

Address OuterAddresses::from_kernel(const OuterAddress& in) const {
  Address address;
  uint8_t* b = address.bytes.data();
  if (carrier_ == Carrier::kEthernet) {
    const uint8_t* m = in.link.sll_addr;
    const uint8_t bytes[16] = {0xfe, 0x80, 0,    0,    0,    0,    0,   0, static_cast<uint8_t>(m[0] ^ 2),
                               m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
    memcpy(b, bytes, 16);
  } else if (v6_) {
    memcpy(b, &in.v6.sin6_addr, 16);
  } else {
    b[10] = b[11] = 0xff;
    memcpy(b + 12, &in.v4.sin_addr, 4);
  }
  return address;
}

OuterAddress OuterAddresses::own(bool with_port) const {
  OuterAddress own;
  to_kernel(local_, own);
  if (carrier_ == Carrier::kEthernet) {
    own.link.sll_halen = 0;
    if (!with_port) own.link.sll_protocol = 0;
  } else if (!with_port) {
    (v6_ ? own.v6.sin6_port : own.v4.sin_port) = 0;
  }
  return own;
}

bool open_sockets(const TunnelSpec& spec, const OuterAddresses& addresses, unsigned queue, TunnelSockets& out,
                  std::string& error) {
  Opener opener(spec, addresses, error);
  if (queue < spec.receivers.size()) out.receiver = spec.receivers[queue];
  switch (spec.carrier()) {
    case Carrier::kUdp:
      return open_udp_sockets(opener, out);
    case Carrier::kIp:
      return open_raw_sockets(opener, queue, out);
    default:
      return open_packet_sockets(opener, queue, out);
  }
}

int open_probe(const TunnelSpec& spec, const OuterAddresses& addresses) {
  const bool v6 = addresses.v6();
  const int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || spec.carrier() == Carrier::kEthernet) return fd;
  set_option(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  if (!spec.device.empty())
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, spec.device.data(), static_cast<socklen_t>(spec.device.size()));
  const OuterAddress own = addresses.own(false);
  if (bind(fd, &own.any, addresses.size()) == 0) keep_empty(fd);
  return fd;
}

uint32_t path_mtu(int probe, const TunnelSpec& spec, const OuterAddresses& addresses, const Address& remote) {
  int mtu = 0;
  socklen_t size = sizeof mtu;
  if (spec.carrier() == Carrier::kEthernet) {
    ifreq request{};
    memcpy(request.ifr_name, spec.device.data(), std::min<size_t>(spec.device.size(), IFNAMSIZ - 1));
    if (ioctl(probe, SIOCGIFMTU, &request) == 0) mtu = request.ifr_mtu;
  } else {
    OuterAddress to;
    addresses.to_kernel(remote, to);
    // The discard port, where the carrier has none: only the route counts.
    if (addresses.v6() && to.v6.sin6_port == 0) to.v6.sin6_port = htons(9);
    if (!addresses.v6() && to.v4.sin_port == 0) to.v4.sin_port = htons(9);
    const bool v6 = addresses.v6();
    if (connect(probe, &to.any, addresses.size()) != 0 ||
        getsockopt(probe, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &size) != 0)
      return 0;
  }
  const auto known = static_cast<uint32_t>(mtu > 0 ? mtu : 0);
  return spec.mtu && spec.mtu < known ? spec.mtu : known;
}

}  // namespace headgate
