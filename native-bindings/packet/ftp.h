// The lines of an FTP control connection that announce a data connection: the command PORT and the reply 227 (RFC 959,
// 4.1.2 and 4.2), and their forms for IPv6, EPRT and 229 (RFC 2428).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headgate {

// Those below belong to services (RFC 2577, 3): nobody can have them opened by an announcement.
constexpr uint16_t kFirstAnnouncedPort = 1024;

// The port that the line announces, in host byte order; absent: none. `line` is without its end. The address it names
// is not told: a data connection goes to the end that sent the line, so nobody else can be named (RFC 2577).
std::optional<uint16_t> announced_port(std::string_view line, bool from_server);

}  // namespace headgate
