// Tells the service manager about this process: the protocol of sd_notify(3), without libsystemd. It is here because
// Node has no unix datagram sockets.
#pragma once

#include <span>
#include <string>

namespace headgate {

// Sends assignments such as "READY=1", one a line, to the socket (NOTIFY_SOCKET: a path, or a name that begins with @),
// with descriptors for "FDSTORE=1". False with `error` set when they were not sent.
bool notify_service_manager(const std::string& socket, const std::string& text, std::span<const int> descriptors,
                            std::string& error);

}  // namespace headgate
