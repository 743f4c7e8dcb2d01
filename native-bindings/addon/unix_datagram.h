// Sends to unix datagram sockets, which Node does not have: to the service manager (sd_notify(3)) and to the journal
// (sd_journal_send(3)), without libsystemd.
#pragma once

#include <span>
#include <string>

namespace headgate {

// Sends one datagram to the socket (a path, or an abstract name that begins with @), with descriptors beside it. False
// with `error` set when it was not sent.
bool send_datagram(const std::string& socket, std::span<const unsigned char> payload, std::span<const int> descriptors,
                   std::string& error);

}  // namespace headgate
