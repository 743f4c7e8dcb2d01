// A small rtnetlink client; see netlink.h.
#include "ports/netlink.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "ports/errors.h"

namespace headgate {

std::optional<Prefix> parse_prefix(const std::string& text) {
  const size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  Prefix prefix;
  prefix.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  prefix.bytes = prefix.family == AF_INET ? 4 : 16;
  prefix.length = static_cast<uint8_t>(prefix.bytes * 8);
  if (inet_pton(prefix.family, address.c_str(), prefix.address.data()) != 1) return std::nullopt;
  if (slash == std::string::npos) return prefix;
  const char* end = text.data() + text.size();
  unsigned length = 0;
  const auto [stop, problem] = std::from_chars(text.data() + slash + 1, end, length);
  if (problem != std::errc() || stop != end || length > prefix.bytes * 8u) return std::nullopt;
  prefix.length = static_cast<uint8_t>(length);
  return prefix;
}

namespace {

// A request under construction: header, the family's fixed part, attributes, each padded to four bytes.
template <typename Body>
std::vector<uint8_t> start_message(uint16_t type, uint16_t flags, const Body& body) {
  std::vector<uint8_t> message(NLMSG_SPACE(sizeof(Body)));
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  std::memcpy(message.data(), &header, sizeof header);
  std::memcpy(message.data() + NLMSG_HDRLEN, &body, sizeof body);
  return message;
}

void add_attribute(std::vector<uint8_t>& message, uint16_t type, const void* value, size_t size) {
  const size_t at = message.size();
  message.resize(at + RTA_SPACE(size));
  rtattr attribute{};
  attribute.rta_type = type;
  attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
  std::memcpy(message.data() + at, &attribute, sizeof attribute);
  std::memcpy(message.data() + at + RTA_LENGTH(0), value, size);
}

// The kernel's own words in an acknowledgement (NETLINK_EXT_ACK), if it sent any. `reply` holds one whole
// message.
std::string kernel_words(const uint8_t* reply, size_t size) {
  nlmsghdr header;
  std::memcpy(&header, reply, sizeof header);
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  size_t at = NLMSG_SPACE(sizeof(nlmsgerr));  // NETLINK_CAP_ACK: the request's body is not repeated
  while (at + NLA_HDRLEN <= size) {
    nlattr attribute;
    std::memcpy(&attribute, reply + at, sizeof attribute);
    if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > size) break;
    if (attribute.nla_type == NLMSGERR_ATTR_MSG) {
      const char* text = reinterpret_cast<const char*>(reply + at + NLA_HDRLEN);
      return std::string(text, strnlen(text, attribute.nla_len - NLA_HDRLEN));
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return {};
}

}  // namespace

Netlink::~Netlink() {
  if (socket_ >= 0) close(socket_);
}

bool Netlink::open(std::string& error) {
  socket_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (socket_ < 0) {
    error = "rtnetlink socket: " + errno_text(errno);
    return false;
  }
  const int on = 1;
  setsockopt(socket_, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);  // both only make errors easier to read
  setsockopt(socket_, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return true;
}

bool Netlink::request(std::vector<uint8_t>& message, std::string& error) {
  nlmsghdr header;
  std::memcpy(&header, message.data(), sizeof header);
  header.nlmsg_len = static_cast<uint32_t>(message.size());
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  if (send(socket_, message.data(), message.size(), 0) < 0) {
    error = errno_text(errno);
    return false;
  }
  alignas(nlmsghdr) uint8_t reply[8192];
  for (;;) {
    const ssize_t size = recv(socket_, reply, sizeof reply, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) {
      error = size < 0 ? errno_text(errno) : "a short answer from the kernel";
      return false;
    }
    nlmsghdr answer;
    nlmsgerr outcome;
    std::memcpy(&answer, reply, sizeof answer);
    std::memcpy(&outcome, reply + NLMSG_HDRLEN, sizeof outcome);
    if (answer.nlmsg_seq != sequence_ || answer.nlmsg_type != NLMSG_ERROR) continue;
    if (outcome.error == 0) return true;
    const std::string words = kernel_words(reply, static_cast<size_t>(size));
    error = errno_text(-outcome.error) + (words.empty() ? "" : ": " + words);
    return false;
  }
}

bool Netlink::set_link(int index, std::optional<Mac> mac, std::optional<uint32_t> mtu, bool up, std::string& error) {
  ifinfomsg link{};
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = index;
  link.ifi_change = IFF_UP;
  link.ifi_flags = up ? IFF_UP : 0;
  auto message = start_message(RTM_NEWLINK, 0, link);
  if (mac) add_attribute(message, IFLA_ADDRESS, mac->data(), mac->size());
  if (mtu) add_attribute(message, IFLA_MTU, &*mtu, sizeof *mtu);
  return request(message, error);
}

bool Netlink::add_address(int index, const Prefix& prefix, std::string& error) {
  ifaddrmsg address{};
  address.ifa_family = prefix.family;
  address.ifa_prefixlen = prefix.length;
  address.ifa_flags = prefix.family == AF_INET6 ? IFA_F_NODAD : 0;
  address.ifa_index = static_cast<uint32_t>(index);
  auto message = start_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address);
  add_attribute(message, IFA_LOCAL, prefix.address.data(), prefix.bytes);
  add_attribute(message, IFA_ADDRESS, prefix.address.data(), prefix.bytes);
  return request(message, error);
}

bool Netlink::set_default_route(int index, const Prefix& gateway, std::string& error) {
  rtmsg route{};
  route.rtm_family = gateway.family;
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_UNICAST;
  auto message = start_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
  add_attribute(message, RTA_GATEWAY, gateway.address.data(), gateway.bytes);
  add_attribute(message, RTA_OIF, &index, sizeof index);
  return request(message, error);
}

}  // namespace headgate
