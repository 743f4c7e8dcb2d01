#include "addon/unix_datagram.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace headgate {

bool send_datagram(const std::string& socket_name, std::span<const unsigned char> payload,
                   std::span<const int> descriptors, std::string& error) {
  sockaddr_un address{};
  if (socket_name.empty() || socket_name.size() >= sizeof address.sun_path) {
    error = "the socket's name has to have 1 to " + std::to_string(sizeof address.sun_path - 1) + " characters";
    return false;
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_name.data(), socket_name.size());
  if (socket_name[0] == '@') address.sun_path[0] = 0;  // an abstract name

  iovec part{const_cast<unsigned char*>(payload.data()), payload.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name.size());
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

}  // namespace headgate
