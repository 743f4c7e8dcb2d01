// What a tunnel costs by itself.
//
//   bench_tunnel ways NETNS NETNS MAC ROUNDS   64 KiB of TCP in 46 packets from 192.0.2.1 in the one namespace to
//   192.0.2.2 in
//                                              the other (device `under` in both), by each kind of socket: processor
//                                              time of sending and of receiving, as JSON. MAC: of the second
//   bench_tunnel count ENCAPSULATION send|receive small|super ROUNDS
//                                              encapsulation or decapsulation alone, no sockets, for callgrind
//                                              (--collect-atstart=no), which is switched on around it: what it
//                                              collects, divided by the "frames" printed
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

#include "packet/checksum.h"
#include "packet/parse.h"
#include "packet/virtio.h"
#include "packet/wire.h"
#include "ports/namespaces.h"
#include "test/memory_underlay.h"

using namespace headgate;
using namespace headgate::test;

namespace {

constexpr size_t kPackets = 46, kPacket = 1472 - 58;  // 64 KiB of outer payload at most
constexpr size_t kBytes = kPackets * kPacket;

[[noreturn]] void die(const char* what) {
  perror(what);
  exit(1);
}

double processor_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

int open_in(const char* netns, const std::function<int()>& open) {
  int fd = -1;
  std::string error;
  if (!run_in_namespace(
          namespace_path(netns), [&] { fd = open(); }, error)) {
    std::fprintf(stderr, "%s\n", error.c_str());
    exit(1);
  }
  if (fd < 0) die("socket");
  const int size = 32 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  return fd;
}

sockaddr_in address(const char* text, uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  inet_pton(AF_INET, text, &a.sin_addr);
  return a;
}

int inet_socket(const char* own, int type, int protocol, uint16_t port, bool gro) {
  const int fd = socket(AF_INET, type | SOCK_NONBLOCK, protocol);
  const sockaddr_in a = address(own, port);
  const int one = 1;
  if (gro && setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof one)) die("UDP_GRO");
  if (bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a)) die("bind");
  return fd;
}

int packet_socket(uint16_t protocol, bool offloads) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(protocol));
  const int one = 1;
  sockaddr_ll a{};
  a.sll_family = AF_PACKET;
  a.sll_protocol = htons(protocol);
  a.sll_ifindex = static_cast<int>(if_nametoindex("under"));
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a)) die("bind");
  if (offloads && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one)) die("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one)) die("PACKET_IGNORE_OUTGOING");
  return fd;
}

// One way: messages that carry kPackets packets, sent and taken.
struct Way {
  const char* name;
  std::function<void()> send;
  std::function<size_t()> receive;  // bytes of packets that came, 0: none
};

uint8_t data[kPackets][kPacket + 64];

struct Messages {
  mmsghdr messages[kPackets] = {};
  iovec parts[kPackets] = {};
  void send(int fd, size_t count, const sockaddr_in* to) {
    for (size_t i = 0; i < count; ++i) {
      messages[i].msg_hdr = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      if (!to) continue;
      messages[i].msg_hdr.msg_name = const_cast<sockaddr_in*>(to);
      messages[i].msg_hdr.msg_namelen = sizeof *to;
    }
    for (size_t sent = 0; sent < count;) {
      const int n = sendmmsg(fd, messages + sent, static_cast<unsigned>(count - sent), 0);
      if (n <= 0) die("sendmmsg");
      sent += static_cast<size_t>(n);
    }
  }
};

std::vector<uint8_t> room(kPackets * 65536);
size_t take(int fd, uint32_t less) {
  static mmsghdr messages[kPackets];
  static iovec parts[kPackets];
  for (size_t i = 0; i < kPackets; ++i) {
    parts[i] = {&room[i * 65536], 65536};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int n = recvmmsg(fd, messages, kPackets, 0, nullptr);
  size_t bytes = 0;
  for (int i = 0; i < n; ++i) bytes += messages[i].msg_len - less;
  return bytes;
}

void send_joined(int fd, const sockaddr_in& to) {
  iovec parts[kPackets];
  for (size_t i = 0; i < kPackets; ++i) parts[i] = {data[i], kPacket};
  union {
    cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  } control{};
  msghdr m{};
  m.msg_name = const_cast<sockaddr_in*>(&to);
  m.msg_namelen = sizeof to;
  m.msg_iov = parts;
  m.msg_iovlen = kPackets;
  m.msg_control = control.bytes;
  m.msg_controllen = sizeof control.bytes;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const uint16_t size = kPacket;
  memcpy(CMSG_DATA(c), &size, sizeof size);
  if (sendmsg(fd, &m, 0) < 0) die("sendmsg");
}

// Ethernet, IPv4 and UDP around `length` bytes, the checksum partial.
void make_outer(uint8_t* to, const uint8_t* mac, uint32_t length) {
  memcpy(to, mac, 6);
  memcpy(to + 6, mac, 6);
  to[6] ^= 4;
  store16(to + 12, kEtherIpv4);
  uint8_t* ip = to + 14;
  memset(ip, 0, 28);
  ip[0] = 0x45;
  store16(ip + 2, static_cast<uint16_t>(28 + length));
  ip[6] = 0x40;
  ip[8] = 64;
  ip[9] = 17;
  inet_pton(AF_INET, "192.0.2.1", ip + 12);
  inet_pton(AF_INET, "192.0.2.2", ip + 16);
  checksum_ipv4(ip);
  store16(ip + 20, 50000);
  store16(ip + 22, 4789);
  store16(ip + 24, static_cast<uint16_t>(8 + length));
  store16(ip + 26, static_cast<uint16_t>(~checksum_finish(checksum_add(ip + 12, 8) + 17 + 8 + length)));
}

void send_joined_frame(int fd, const uint8_t* mac) {
  uint8_t head[kWireOffload + 42];
  Offload offload;
  offload.kind = Offload::kUdp;
  offload.partial_checksum = true;
  offload.header_length = 42;
  offload.segment_size = kPacket;
  offload.checksum_start = 34;
  offload.checksum_offset = 6;
  write_offload(offload, head);
  make_outer(head + kWireOffload, mac, kBytes);
  iovec parts[1 + kPackets];
  parts[0] = {head, sizeof head};
  for (size_t i = 0; i < kPackets; ++i) parts[1 + i] = {data[i], kPacket};
  msghdr m{};
  m.msg_iov = parts;
  m.msg_iovlen = 1 + kPackets;
  if (sendmsg(fd, &m, 0) < 0) die("sendmsg of a frame");
}

void measure(const Way& way, int rounds) {
  double sending = 0, receiving = 0;
  size_t lost = 0;
  for (int round = -rounds / 10; round < rounds; ++round) {
    const double began = processor_seconds();
    way.send();
    const double sent = processor_seconds();
    size_t bytes = 0;
    for (int tries = 0; bytes < kBytes && tries < 1000; ++tries) {
      const size_t more = way.receive();
      if (!more) usleep(10);
      bytes += more;
    }
    const double taken = processor_seconds();
    if (round < 0) continue;
    lost += bytes < kBytes;
    sending += sent - began;
    receiving += taken - sent;
  }
  std::printf("{\"way\":\"%s\",\"sendMicroseconds\":%.1f,\"receiveMicroseconds\":%.1f,\"lost\":%zu}\n", way.name,
              sending / rounds * 1e6, receiving / rounds * 1e6, lost);
}

int ways(char** argv) {
  const char *here = argv[2], *there = argv[3];
  uint8_t mac[6];
  if (sscanf(argv[4], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) return 2;
  const int rounds = atoi(argv[5]);
  const sockaddr_in to = address("192.0.2.2", 4789), raw = address("192.0.2.2", 0);
  const int udp = open_in(here, [] { return inet_socket("192.0.2.1", SOCK_DGRAM, 0, 0, false); });
  const int joined = open_in(there, [] { return inet_socket("192.0.2.2", SOCK_DGRAM, 0, 4789, true); });
  Messages messages;
  auto plain_parts = [&] {
    for (size_t i = 0; i < kPackets; ++i) messages.parts[i] = {data[i], kPacket};
  };
  measure({"UDP_SEGMENT and UDP_GRO", [&] { send_joined(udp, to); }, [&] { return take(joined, 0); }}, rounds);
  measure({"UDP datagrams, sendmmsg and recvmmsg",
           [&] {
             plain_parts();
             messages.send(udp, kPackets, &to);
           },
           [&] { return take(joined, 0); }},
          rounds);
  {
    const int out = open_in(here, [] { return packet_socket(0, true); });
    const int in = open_in(there, [] { return packet_socket(ETH_P_IP, true); });
    const auto receive = [&] {
      take(joined, 0);  // what the kernel's own stack got beside it
      return take(in, kWireOffload + 42);
    };
    measure({"packet sockets, own outer headers, super-frames", [&] { send_joined_frame(out, mac); }, receive}, rounds);
    close(in);
    close(out);
  }
  {
    const int out = open_in(here, [] { return packet_socket(0, false); });
    const int in = open_in(there, [] { return packet_socket(ETH_P_IP, false); });
    static uint8_t frames[kPackets][kPacket + 42];
    measure({"packet sockets, own outer headers, frames",
             [&] {
               for (size_t i = 0; i < kPackets; ++i) {
                 make_outer(frames[i], mac, kPacket);
                 store16(frames[i] + 40, 0);
                 memcpy(frames[i] + 42, data[i], kPacket);
                 messages.parts[i] = {frames[i], sizeof frames[i]};
               }
               messages.send(out, kPackets, nullptr);
             },
             [&] {
               take(joined, 0);
               return take(in, 42);
             }},
            rounds);
    close(in);
    close(out);
  }
  close(joined);
  const int raw_out = open_in(here, [] { return inet_socket("192.0.2.1", SOCK_RAW, 47, 0, false); });
  const int raw_in = open_in(there, [] { return inet_socket("192.0.2.2", SOCK_RAW, 47, 0, false); });
  measure({"raw sockets (GRE)",
           [&] {
             plain_parts();
             messages.send(raw_out, kPackets, &raw);
           },
           [&] { return take(raw_in, 20); }},
          rounds);
  return 0;
}

int keep_nothing(int, mmsghdr*, unsigned count, int) {
  return static_cast<int>(count);
}

int count(char** argv) {
  const Encapsulation* encapsulation = find_encapsulation(argv[2]);
  if (!encapsulation) return 2;
  const bool sends = !strcmp(argv[3], "send"), super = !strcmp(argv[4], "super");
  const int rounds = atoi(argv[5]);
  MemoryUnderlay underlay(*encapsulation);
  TunnelSender sender(*encapsulation, underlay.own, underlay.addresses, underlay.sockets, keep_nothing);
  FramePool pool(64);
  std::vector<Frame*> frames;
  Packet p;
  p.protocol = super ? kTcp : kUdp;
  p.dont_fragment = true;
  p.partial = super;
  p.payload.resize(super ? 44 * 1398 : 18);
  const size_t batch = super ? 1 : 64;
  for (size_t i = 0; i < batch; ++i) {
    Frame* frame = pool.acquire();
    const Bytes bytes = p.bytes();
    frame->length = static_cast<uint32_t>(bytes.size());
    if (super) frame->offload = p.super_offload(1398);
    memcpy(frame->data, bytes.data(), bytes.size());
    if (parse(*frame) != Reason::kNone) return 1;
    frame->hop = {*parse_address("192.0.2.2"), 0x42ff, false, Reason::kNone};
    frames.push_back(frame);
  }
  std::vector<Reason> outcomes(batch);
  MemoryUnderlay::sent().clear();
  underlay.sender->transmit(frames, outcomes);
  const auto sent = MemoryUnderlay::sent();
  FramePool taking(64);
  std::vector<Frame*> in;
  for (int i = 0; i < 64; ++i) in.push_back(taking.acquire());
  for (int round = 0; round < rounds; ++round) {
    CALLGRIND_TOGGLE_COLLECT;
    if (sends) {
      sender.transmit(frames, outcomes);
    } else {
      for (const OuterMessage& m : sent)
        underlay.receiver->take(m.bytes.data(), static_cast<uint32_t>(m.bytes.size()), m.segment,
                                frames[0]->hop.remote);
      while (underlay.receiver->has_more()) underlay.receiver->receive(in, 1464);
    }
    CALLGRIND_TOGGLE_COLLECT;
  }
  std::printf("{\"frames\":%zu}\n", batch * static_cast<size_t>(rounds));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6 && !strcmp(argv[1], "ways")) return ways(argv);
  if (argc == 6 && !strcmp(argv[1], "count")) return count(argv);
  std::fprintf(stderr, "usage: at the head of native-bindings/bench/tunnel.cc\n");
  return 2;
}
