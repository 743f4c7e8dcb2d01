// How long a request and its answer take at low load: one request under way at a time, a pause between two.
//
//   latency server --protocol udp --port 9002
//   latency client --protocol udp --to 10.0.0.2 --port 9002 --count 5000 --pause-us 200 --size 64
//
// Prints percentiles of the round trip in microseconds. TCP uses one connection for all requests.
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

constexpr size_t kMaxSize = 1400;

// Reads exactly size bytes of a stream; false at its end.
bool ReadAll(int fd, char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd, data, size, 0);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

int ServeUdp(uint16_t port) {
  const int fd = BoundSocket(SOCK_DGRAM, port);
  SayReady();
  char data[kMaxSize];
  for (;;) {  // until killed
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t n = recvfrom(fd, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (n > 0) sendto(fd, data, static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), length);
  }
}

int ServeTcp(uint16_t port) {
  const int listener = BoundSocket(SOCK_STREAM, port);
  if (listen(listener, 16) < 0) Fail("listen");
  SayReady();
  for (;;) {  // until killed; one client at a time
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char data[kMaxSize];
    ssize_t n;
    while ((n = recv(fd, data, sizeof data, 0)) > 0) {
      if (send(fd, data, static_cast<size_t>(n), MSG_NOSIGNAL) != n) break;
    }
    close(fd);
  }
}

int Ask(int argc, char** argv) {
  const bool tcp = Option(argc, argv, "--protocol", "udp") == "tcp";
  const Address to =
      ParseAddress(Option(argc, argv, "--to", ""), static_cast<uint16_t>(Number(argc, argv, "--port", 9002)));
  const auto count = static_cast<size_t>(Number(argc, argv, "--count", 5000));
  const auto pause = static_cast<useconds_t>(Number(argc, argv, "--pause-us", 200));
  const auto size = std::clamp(static_cast<size_t>(Number(argc, argv, "--size", 64)), size_t{1}, kMaxSize);

  const int fd = socket(to.family(), (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, to.get(), to.length) < 0) Fail("connect");
  const int on = 1;
  const timeval patience{1, 0};
  if (tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

  std::vector<double> micros;
  micros.reserve(count);
  size_t lost = 0;
  char data[kMaxSize] = {};
  for (size_t i = 0; i < count; i++) {
    const double start = Seconds();
    if (send(fd, data, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) Fail("send");
    if (ReadAll(fd, data, size)) {
      micros.push_back((Seconds() - start) * 1e6);
    } else {
      lost++;
    }
    usleep(pause);
  }
  if (micros.empty()) {
    fprintf(stderr, "no answer at all\n");
    return 1;
  }
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double part) {
    return micros[static_cast<size_t>(part * static_cast<double>(micros.size() - 1))];
  };
  printf("{\"requests\":%zu,\"lost\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n", count,
         lost, at(0.5), at(0.9), at(0.99), at(0.999), micros.back());
  return 0;
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  using namespace headgate::bench;
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "client") return Ask(argc, argv);
  if (role == "server") {
    const auto port = static_cast<uint16_t>(Number(argc, argv, "--port", 9002));
    return Option(argc, argv, "--protocol", "udp") == "tcp" ? ServeTcp(port) : ServeUdp(port);
  }
  fprintf(stderr,
          "usage: latency server [--protocol udp|tcp] [--port P]\n"
          "       latency client --to ADDRESS [--protocol udp|tcp] [--port P] [--count N] [--pause-us T] "
          "[--size BYTES]\n");
  return 2;
}
