// What the traffic tools share: arguments, addresses, clocks and errors. The tools know nothing of Headgate:
// they run in namespaces at both ends of whatever is measured, and print one JSON object each.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace headgate::bench {

[[noreturn]] inline void Fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

inline double Seconds() {
  using std::chrono::duration;
  return duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The value behind `--name` in the arguments, or the fallback.
inline std::string Option(int argc, char** argv, std::string_view name, std::string_view fallback) {
  for (int i = 1; i + 1 < argc; i++) {
    if (name == argv[i]) return argv[i + 1];
  }
  return std::string(fallback);
}

inline double Number(int argc, char** argv, std::string_view name, double fallback) {
  std::string text = Option(argc, argv, name, "");
  if (text.empty()) return fallback;
  char* end = nullptr;
  double value = strtod(text.c_str(), &end);
  if (*end != 0 || value < 0) {
    fprintf(stderr, "%s: '%s' is not a number\n", std::string(name).c_str(), text.c_str());
    exit(2);
  }
  return value;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// An IPv4 or IPv6 address as text, port in host byte order. Exits when the text is no address.
inline Address ParseAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.length = sizeof *four;
  } else if (inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address.length = sizeof *six;
  } else {
    fprintf(stderr, "'%s' is not an IPv4 or IPv6 address\n", text.c_str());
    exit(2);
  }
  return address;
}

// A socket bound to the port on all IPv6 and IPv4 addresses.
inline int BoundSocket(int type, uint16_t port) {
  int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Address any = ParseAddress("::", port);
  if (bind(fd, any.get(), any.length) < 0) Fail("bind");
  return fd;
}

// Whoever starts a server waits for this line before it starts a client.
inline void SayReady() {
  puts("ready");
  fflush(stdout);
}

}  // namespace headgate::bench
