// New TCP connections per second: connect, one byte each way, close.
//
//   tcp_connect server --port 9001
//   tcp_connect client --to 10.0.0.2 --port 9001 --threads 4 --seconds 3
//
// The client closes with SO_LINGER 0, that is by RST: it would otherwise run out of source ports after a
// second or two, since each would rest in TIME_WAIT for a minute. `--close fin` closes in the ordinary way.
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

int Serve(int argc, char** argv) {
  const int listener =
      BoundSocket(SOCK_STREAM | SOCK_NONBLOCK, static_cast<uint16_t>(Number(argc, argv, "--port", 9001)));
  if (listen(listener, 4096) < 0) Fail("listen");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  SayReady();

  epoll_event ready[256];
  for (;;) {  // until killed
    const int n = epoll_wait(epoll, ready, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        while ((fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          event.data.fd = fd;
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      char byte;
      if (recv(fd, &byte, 1, 0) == 1) {
        if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1) continue;
      } else if (errno == EAGAIN) {
        continue;
      }
      close(fd);
    }
  }
}

// One exchange; false if it failed in any step.
bool Exchange(const Address& to, bool reset) {
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  const timeval patience{2, 0};
  const linger lingering{1, 0};
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering);
  char byte = 'x';
  const bool ok =
      connect(fd, to.get(), to.length) == 0 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1;
  close(fd);
  return ok;
}

int Connect(int argc, char** argv) {
  const Address to =
      ParseAddress(Option(argc, argv, "--to", ""), static_cast<uint16_t>(Number(argc, argv, "--port", 9001)));
  const auto threads = static_cast<unsigned>(Number(argc, argv, "--threads", 4));
  const double seconds = Number(argc, argv, "--seconds", 3);
  const bool reset = Option(argc, argv, "--close", "rst") == "rst";

  std::atomic<uint64_t> done = 0, failed = 0;
  const double start = Seconds();
  std::vector<std::thread> clients;
  for (unsigned i = 0; i < threads; i++) {
    clients.emplace_back([&] {
      uint64_t good = 0, bad = 0;
      while (Seconds() < start + seconds) (Exchange(to, reset) ? good : bad)++;
      done += good;
      failed += bad;
    });
  }
  for (auto& client : clients) client.join();
  const double took = Seconds() - start;
  printf("{\"connections\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"cps\":%.0f}\n",
         static_cast<unsigned long long>(done.load()), static_cast<unsigned long long>(failed.load()), took,
         static_cast<double>(done.load()) / took);
  return 0;
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "server") return headgate::bench::Serve(argc, argv);
  if (role == "client") return headgate::bench::Connect(argc, argv);
  fprintf(stderr,
          "usage: tcp_connect server [--port P]\n"
          "       tcp_connect client --to ADDRESS [--port P] [--threads N] [--seconds T] [--close rst|fin]\n");
  return 2;
}
