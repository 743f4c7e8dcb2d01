#include "addon/unix_datagram.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace headgate {

namespace {

constexpr size_t kMostDescriptors = 253;  // SCM_MAX_FD
constexpr size_t kMostBytes = 65536;

bool name_address(const std::string& name, sockaddr_un& address, socklen_t& length, std::string& error) {
  if (name.empty() || name.size() >= sizeof address.sun_path) {
    error = "the socket's name has to have 1 to " + std::to_string(sizeof address.sun_path - 1) + " characters";
    return false;
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') address.sun_path[0] = 0;  // an abstract name
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  return true;
}

}  // namespace

bool send_datagram(const std::string& socket_name, std::span<const unsigned char> payload,
                   std::span<const int> descriptors, std::string& error) {
  sockaddr_un address{};
  socklen_t length = 0;
  if (!name_address(socket_name, address, length, error)) return false;

  iovec part{const_cast<unsigned char*>(payload.data()), payload.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<unsigned char> control(descriptors.empty() ? 0 : CMSG_SPACE(descriptors.size_bytes()));
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }

  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  // All of it or nothing: a datagram is never sent in part.
  const bool sent = fd >= 0 && sendmsg(fd, &message, MSG_NOSIGNAL) >= 0;
  if (!sent) error = socket_name + ": " + strerror(errno);
  if (fd >= 0) close(fd);
  return sent;
}

int open_inbox(const std::string& path, std::string& error) {
  sockaddr_un address{};
  socklen_t length = 0;
  if (!name_address(path, address, length, error)) return -1;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    error = path + ": " + strerror(errno);
    if (fd >= 0) close(fd);
    return -1;
  }
  return fd;
}

std::optional<Datagram> receive_datagram(int inbox, int timeout, std::string& error) {
  pollfd waiting{inbox, POLLIN, 0};
  if (poll(&waiting, 1, timeout) <= 0) {
    error = "nothing came in time";
    return std::nullopt;
  }
  Datagram datagram;
  datagram.payload.resize(kMostBytes);
  alignas(cmsghdr) unsigned char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  iovec part{datagram.payload.data(), datagram.payload.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(inbox, &message, MSG_CMSG_CLOEXEC);
  if (size < 0) {
    error = strerror(errno);
    return std::nullopt;
  }
  datagram.payload.resize(static_cast<size_t>(size));
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    datagram.descriptors.resize((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(datagram.descriptors.data(), CMSG_DATA(item), datagram.descriptors.size() * sizeof(int));
  }
  return datagram;
}

}  // namespace headgate
