// TCP SYNs from random ports to random ports of a host that does not answer, as fast as a packet socket goes.
//
//   syn_flood --device eth0 --from 10.1.0.3 --to 10.1.0.77 --to-mac 02:00:00:00:00:02 --seconds 3 [--rate 200000]
//   [--plain]
//
// --plain has it send as many frames of the same length that are all of one UDP flow: what a workload may do anyway,
// and so what a flood is compared with. The addresses are the sender's own: spoofguard refuses others.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/sockets.h"

namespace headgate::bench {
namespace {

constexpr unsigned kBatch = 64;
constexpr size_t kLength = 14 + 20 + 20;

struct Frames {
  uint8_t data[kBatch][kLength] = {};
  mmsghdr messages[kBatch]{};
  iovec vectors[kBatch]{};
};

void Put16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

uint32_t Sum(const uint8_t* from, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += uint32_t{from[i]} << 8 | from[i + 1];
  return sum;
}

uint32_t Folded(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

uint32_t Random() {
  static uint64_t state = 0x9e3779b97f4a7c15u ^ static_cast<uint64_t>(Seconds() * 1e9);
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 16);
}

void MakeHeaders(uint8_t* frame, const uint8_t* own_mac, const uint8_t* to_mac, const Address& from, const Address& to,
                 bool plain) {
  memcpy(frame, to_mac, 6);
  memcpy(frame + 6, own_mac, 6);
  Put16(frame + 12, ETHERTYPE_IP);
  uint8_t* ip = frame + 14;
  ip[0] = 0x45;
  Put16(ip + 2, kLength - 14);
  ip[8] = 64;
  ip[9] = plain ? IPPROTO_UDP : IPPROTO_TCP;
  memcpy(ip + 12, &reinterpret_cast<const sockaddr_in*>(from.get())->sin_addr, 4);
  memcpy(ip + 16, &reinterpret_cast<const sockaddr_in*>(to.get())->sin_addr, 4);
  Put16(ip + 10, Folded(Sum(ip, 20)));
  uint8_t* transport = ip + 20;
  if (plain) {
    Put16(transport, 4000);
    Put16(transport + 2, 4001);
    Put16(transport + 4, 20);
  } else {
    transport[12] = 5 << 4;
    transport[13] = 2;  // SYN
    Put16(transport + 14, 64240);
  }
}

// A port pair that has not been before, as good as certainly.
void NewFlow(uint8_t* frame) {
  uint8_t* ip = frame + 14;
  uint8_t* tcp = ip + 20;
  Put16(tcp, 1 + Random() % 65535);
  Put16(tcp + 2, 1 + Random() % 65535);
  Put16(tcp + 4, Random());
  Put16(tcp + 16, 0);
  Put16(tcp + 16, Folded(Sum(tcp, 20) + Sum(ip + 12, 8) + IPPROTO_TCP + 20));
}

int Flood(int argc, char** argv) {
  const std::string device = Option(argc, argv, "--device", "eth0");
  const Address from = ParseAddress(Option(argc, argv, "--from", ""), 0);
  const Address to = ParseAddress(Option(argc, argv, "--to", ""), 0);
  const double seconds = Number(argc, argv, "--seconds", 3), rate = Number(argc, argv, "--rate", 0);
  bool plain = false;
  for (int i = 1; i < argc; i++) plain |= std::string_view("--plain") == argv[i];
  uint8_t to_mac[6];
  if (sscanf(Option(argc, argv, "--to-mac", "").c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &to_mac[0], &to_mac[1],
             &to_mac[2], &to_mac[3], &to_mac[4], &to_mac[5]) != 6) {
    fprintf(stderr, "--to-mac: give the destination's MAC, like 02:00:00:00:00:02\n");
    return 2;
  }

  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  ifreq request{};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device.c_str());
  if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) Fail("SIOCGIFHWADDR");
  sockaddr_ll link{};
  link.sll_family = AF_PACKET;
  link.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (bind(fd, reinterpret_cast<sockaddr*>(&link), sizeof link) < 0) Fail("bind");
  const int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);

  static Frames frames;
  for (unsigned i = 0; i < kBatch; i++) {
    MakeHeaders(frames.data[i], reinterpret_cast<uint8_t*>(request.ifr_hwaddr.sa_data), to_mac, from, to, plain);
    frames.vectors[i] = {frames.data[i], kLength};
    frames.messages[i].msg_hdr.msg_iov = &frames.vectors[i];
    frames.messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t sent = 0, refused = 0;
  const double start = Seconds();
  double now = start;
  while (now < start + seconds) {
    if (rate > 0 && static_cast<double>(sent + refused) > (now - start) * rate) {
      usleep(200);
      now = Seconds();
      continue;
    }
    if (!plain)
      for (auto& frame : frames.data) NewFlow(frame);
    const int n = sendmmsg(fd, frames.messages, kBatch, 0);
    if (n > 0)
      sent += static_cast<unsigned>(n);
    else if (errno == ENOBUFS || errno == EAGAIN)
      refused += kBatch;  // the device's queue is full
    else
      Fail("sendmmsg");
    now = Seconds();
  }
  printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(sent),
         static_cast<unsigned long long>(refused), now - start);
  return 0;
}

}  // namespace
}  // namespace headgate::bench

int main(int argc, char** argv) {
  if (argc > 1) return headgate::bench::Flood(argc, argv);
  fprintf(
      stderr,
      "usage: syn_flood --from ADDRESS --to ADDRESS --to-mac MAC [--device D] [--seconds T] [--rate N] [--plain]\n");
  return 2;
}
