// Small UDP datagrams as fast as one socket goes, and how many of them arrive.
//
//   udp_blast receive --port 9000 --seconds 60
//   udp_blast send --to 10.0.0.2 --port 9000 --size 18 --seconds 3 [--rate 10000]
//
// The sender hands 64 datagrams to each sendmmsg; --rate has it send that many a second instead. The receiver counts by
// recvmmsg from the first datagram on, until none has come for 700 ms (or --seconds have gone by without one), and
// reports datagrams per second between the first and the last.
#include <poll.h>
#include <unistd.h>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

constexpr unsigned kBatch = 64;
constexpr int kQuietMs = 700;

struct Batch {
  mmsghdr messages[kBatch]{};
  iovec vectors[kBatch]{};
  char data[kBatch][2048]{};

  explicit Batch(size_t size) {
    for (unsigned i = 0; i < kBatch; i++) {
      vectors[i] = {data[i], size};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

int Send(int argc, char** argv) {
  const auto size = static_cast<size_t>(Number(argc, argv, "--size", 18));
  const auto port = static_cast<uint16_t>(Number(argc, argv, "--port", 9000));
  const double seconds = Number(argc, argv, "--seconds", 3), rate = Number(argc, argv, "--rate", 0);
  if (size > sizeof Batch::data[0]) {
    fprintf(stderr, "--size: at most %zu\n", sizeof Batch::data[0]);
    return 2;
  }
  const Address to = ParseAddress(Option(argc, argv, "--to", ""), port);
  const int fd = socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, to.get(), to.length) < 0) Fail("connect");

  static Batch batch(size);
  uint64_t sent = 0, refused = 0;
  const double start = Seconds();
  double now = start;
  while (now < start + seconds) {
    if (rate > 0 && static_cast<double>(sent) > (now - start) * rate) {
      usleep(500);
      now = Seconds();
      continue;
    }
    for (int round = 0; round < (rate > 0 ? 1 : 16); round++) {
      const int n = sendmmsg(fd, batch.messages, kBatch, 0);
      if (n > 0) {
        sent += static_cast<unsigned>(n);
      } else if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == EACCES || errno == ENOBUFS) {
        refused++;  // an ICMP error that came back, or a full queue: not the end
      } else {
        Fail("sendmmsg");
      }
    }
    now = Seconds();
  }
  printf("{\"sent\":%llu,\"seconds\":%.3f,\"kpps\":%.1f,\"errors\":%llu}\n", static_cast<unsigned long long>(sent),
         now - start, static_cast<double>(sent) / (now - start) / 1e3, static_cast<unsigned long long>(refused));
  return 0;
}

int Receive(int argc, char** argv) {
  const int fd = BoundSocket(SOCK_DGRAM, static_cast<uint16_t>(Number(argc, argv, "--port", 9000)));
  int space = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space);
  const double patience = Number(argc, argv, "--seconds", 60);
  SayReady();

  static Batch batch(sizeof Batch::data[0]);
  uint64_t received = 0;
  double first = 0, last = 0;
  pollfd waiting{fd, POLLIN, 0};
  for (;;) {
    if (poll(&waiting, 1, received != 0 ? kQuietMs : static_cast<int>(patience * 1e3)) == 0) break;
    const int n = recvmmsg(fd, batch.messages, kBatch, MSG_DONTWAIT, nullptr);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      Fail("recvmmsg");
    }
    last = Seconds();
    if (received == 0) first = last;
    received += static_cast<unsigned>(n);
  }
  const double seconds = last > first ? last - first : 1;
  printf("{\"received\":%llu,\"seconds\":%.3f,\"kpps\":%.1f}\n", static_cast<unsigned long long>(received), seconds,
         static_cast<double>(received) / seconds / 1e3);
  return 0;
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "send") return headgate::bench::Send(argc, argv);
  if (role == "receive") return headgate::bench::Receive(argc, argv);
  fprintf(stderr,
          "usage: udp_blast send --to ADDRESS [--port P] [--size BYTES] [--seconds T]\n"
          "       udp_blast receive [--port P] [--seconds T]\n");
  return 2;
}
