// The little of rtnetlink(7) that a TAP port needs to set up its device: link, addresses, default routes.
// Requests go to the namespace in which the Netlink was opened, one at a time, each acknowledged by the
// kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "packet/headers.h"

namespace headgate {

// An IPv4 or IPv6 address with a prefix length, as rtnetlink wants it.
struct Prefix {
  uint8_t family = 0;  // AF_INET or AF_INET6
  uint8_t length = 0;  // bits
  uint8_t bytes = 0;   // of the address: 4 or 16
  std::array<uint8_t, 16> address{};
};

// `10.0.0.1/24`, `fd00::1/64`; without a length the whole address. Nothing when the text is not one.
std::optional<Prefix> parse_prefix(const std::string& text);

class Netlink {
 public:
  Netlink() = default;
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  // Opens the socket in the calling thread's namespace. All calls: false with `error` set ("EPERM (...): what
  // the kernel says").
  bool open(std::string& error);

  bool set_link(int index, std::optional<Mac> mac, std::optional<uint32_t> mtu, bool up, std::string& error);
  // Adds the address or leaves it as it is. IPv6 addresses are usable at once (no duplicate address
  // detection).
  bool add_address(int index, const Prefix& prefix, std::string& error);
  // Sets or replaces the default route of the gateway's address family.
  bool set_default_route(int index, const Prefix& gateway, std::string& error);

 private:
  bool request(std::vector<uint8_t>& message, std::string& error);

  int socket_ = -1;
  uint32_t sequence_ = 0;
};

}  // namespace headgate
