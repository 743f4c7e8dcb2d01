// Many UDP flows that stay: one datagram each, from ports of their own.
//
//   standing_flows sink --port 20000
//   standing_flows send --to 10.0.0.2 --port 20000 --count 1000000 --rate 150000
//
// Flow i goes from one of 60,000 source ports to one of 32 of the sink's, which takes datagrams without reading them:
// so none is answered, not even by an ICMP error. The sender writes UDP headers itself, by a raw socket of IPv4.
#include <unistd.h>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

constexpr unsigned kSinkPorts = 32, kSourcePorts = 60'000, kBatch = 64;

int Sink(int argc, char** argv) {
  const double port = Number(argc, argv, "--port", 20000);
  for (unsigned i = 0; i < kSinkPorts; i++) BoundSocket(SOCK_DGRAM, static_cast<uint16_t>(port + i));
  SayReady();
  for (;;) pause();
}

struct Datagram {
  uint16_t source_port, destination_port, length, checksum;
  char payload[18];
};

int Send(int argc, char** argv) {
  const Address to = ParseAddress(Option(argc, argv, "--to", ""), 0);
  const double port = Number(argc, argv, "--port", 20000), rate = Number(argc, argv, "--rate", 150'000);
  const auto count = static_cast<uint32_t>(Number(argc, argv, "--count", 1'000'000));
  if (count > kSinkPorts * kSourcePorts) {
    fprintf(stderr, "--count: at most %u\n", kSinkPorts * kSourcePorts);
    return 2;
  }
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
  if (fd < 0 || connect(fd, to.get(), to.length) < 0) Fail("a raw socket");

  static Datagram datagrams[kBatch]{};
  mmsghdr messages[kBatch]{};
  iovec vectors[kBatch];
  for (unsigned i = 0; i < kBatch; i++) {
    vectors[i] = {&datagrams[i], sizeof datagrams[i]};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const double start = Seconds();
  for (uint32_t sent = 0; sent < count;) {
    if (sent > (Seconds() - start) * rate) {
      usleep(200);
      continue;
    }
    const uint32_t batch = std::min(kBatch, count - sent);
    for (uint32_t i = 0; i < batch; i++) {
      const uint32_t flow = sent + i;
      datagrams[i] = {htons(static_cast<uint16_t>(1024 + flow % kSourcePorts)),
                      htons(static_cast<uint16_t>(port + flow / kSourcePorts)),
                      htons(sizeof(Datagram)),
                      0,
                      {}};
    }
    const int n = sendmmsg(fd, messages, batch, 0);
    if (n > 0)
      sent += static_cast<uint32_t>(n);
    else if (errno != ENOBUFS)
      Fail("sendmmsg");
  }
  return 0;
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (role == "sink") return headgate::bench::Sink(argc, argv);
  if (role == "send") return headgate::bench::Send(argc, argv);
  fprintf(stderr,
          "usage: standing_flows sink [--port P]\n"
          "       standing_flows send --to ADDRESS [--port P] [--count N] [--rate N]\n");
  return 2;
}
