// Unix datagram sockets, which Node does not have: to the service manager (sd_notify(3)), to the journal
// (sd_journal_send(3)) without libsystemd, and from one engine to the next, with descriptors beside the bytes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headgate {

// Sends one datagram to the socket (a path, or an abstract name that begins with @), with descriptors beside it. False
// with `error` set when it was not sent.
bool send_datagram(const std::string& socket, std::span<const unsigned char> payload, std::span<const int> descriptors,
                   std::string& error);

struct Datagram {
  std::vector<unsigned char> payload;
  std::vector<int> descriptors;  // the caller's
};

// A socket that receives them, made at a path; -1 with `error` set where that fails.
int open_inbox(const std::string& path, std::string& error);
// The next one; nothing with `error` set when none came in so many milliseconds.
std::optional<Datagram> receive_datagram(int inbox, int timeout, std::string& error);

}  // namespace headgate
