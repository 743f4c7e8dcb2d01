// Namespaces and packet sockets for tests; see kernel.h.
#include "test/kernel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "ports/namespaces.h"

namespace headgate::test {
namespace {

[[noreturn]] void give_up(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(10);  // until a wait is given up; what is awaited comes at once

// virtio_net_hdr once more, so that a slip in packet/virtio.h shows.
struct VirtioHeader {
  uint8_t flags, gso_type;
  uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

}  // namespace

TestNamespace::TestNamespace() {
  int error = 0;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) error = errno;
    if (error == 0) descriptor_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
  errno = error;
  if (descriptor_ < 0) give_up("a network namespace (these tests run as root)");
  // What follows makes devices and routes: a broken run_in_namespace must not make them in the machine's own
  // namespace.
  struct stat wanted {
  }, entered{};
  std::string refusal;
  run_in_namespace(
      path(), [&] { stat("/proc/thread-self/ns/net", &entered); }, refusal);
  if (fstat(descriptor_, &wanted) != 0 || wanted.st_ino != entered.st_ino) {
    throw std::runtime_error("run_in_namespace does not enter the namespace: no test may go on " + refusal);
  }
}

std::string TestNamespace::path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(descriptor_);
}

void TestNamespace::remove() {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

void TestNamespace::shell(const std::string& command) const {
  int status = -1;
  std::string error;
  if (!run_in_namespace(
          path(), [&] { status = std::system(command.c_str()); }, error)) {
    throw std::runtime_error(error);
  }
  if (status != 0) throw std::runtime_error("failed: " + command);
}

void TestNamespace::wait_ready(const std::string& device) const {
  const std::string ready = "ip link show " + device + " | grep -v 'qdisc noop ' | grep -q 'state \\(UP\\|UNKNOWN\\)'";
  shell("for i in $(seq 200); do " + ready + " && exit 0; sleep 0.01; done; exit 1");
}

VethPair::VethPair() {
  // Else the kernels' own discovery frames come between those of the tests.
  for (const TestNamespace* space : {&here, &there}) {
    space->shell("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
  }
  here.shell("ip link add hgport type veth peer name hgfar netns " + there.path());
  here.shell("ip link set hgport up");
  there.shell("ip link set hgfar up");
  here.wait_ready("hgport");
  there.wait_ready("hgfar");
}

FarEnd::FarEnd(const TestNamespace& space, const std::string& device) {
  std::string error;
  int index = 0;
  const bool entered = run_in_namespace(
      space.path(),
      [&] {
        index = static_cast<int>(if_nametoindex(device.c_str()));
        socket_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
      },
      error);
  if (!entered || socket_ < 0) give_up("packet socket " + error);
  const int on = 1, size = 256 << 20;
  if (setsockopt(socket_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0) give_up("PACKET_VNET_HDR");
  if (setsockopt(socket_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0) give_up("IGNORE_OUTGOING");
  if (setsockopt(socket_, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) != 0) give_up("PACKET_AUXDATA");
  setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(socket_, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  if (bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) give_up("bind to " + device);
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = index;
  promiscuous.mr_type = PACKET_MR_PROMISC;
  setsockopt(socket_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
}

FarEnd::~FarEnd() {
  if (socket_ >= 0) close(socket_);
}

void FarEnd::send(const MemoryFrame& frame) {
  const Offload& offload = frame.offload;
  VirtioHeader header{};
  header.flags = offload.partial_checksum ? 1 : 0;
  header.gso_type = offload.kind;
  header.hdr_len = offload.header_length;
  header.gso_size = offload.segment_size;
  header.csum_start = offload.checksum_start;
  header.csum_offset = offload.checksum_offset;
  iovec parts[2] = {{&header, sizeof header}, {const_cast<uint8_t*>(frame.bytes.data()), frame.bytes.size()}};
  if (writev(socket_, parts, 2) < 0) give_up("far end cannot send");
}

std::vector<MemoryFrame> FarEnd::receive(size_t count) {
  std::vector<MemoryFrame> arrived;
  std::vector<uint8_t> buffer(70000);
  const auto deadline = Clock::now() + kPatience;
  while (arrived.size() < count && Clock::now() < deadline) {
    polls_ready(socket_, 10);
    VirtioHeader header;
    alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(tpacket_auxdata))];
    iovec parts[2] = {{&header, sizeof header}, {buffer.data(), buffer.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = recvmsg(socket_, &message, MSG_DONTWAIT);
    if (size < static_cast<ssize_t>(sizeof header)) continue;
    MemoryFrame frame;
    frame.bytes.assign(buffer.begin(), buffer.begin() + size - static_cast<ssize_t>(sizeof header));
    if (!is_test_frame(frame.bytes)) continue;
    frame.offload.kind = static_cast<Offload::Kind>(header.gso_type & 0x7f);
    frame.offload.partial_checksum = (header.flags & 1) != 0;
    frame.offload.segment_size = header.gso_size;
    frame.offload.header_length = header.hdr_len;
    frame.offload.checksum_start = header.csum_start;
    frame.offload.checksum_offset = header.csum_offset;
    const cmsghdr* item = CMSG_FIRSTHDR(&message);
    tpacket_auxdata auxiliary{};
    if (item != nullptr) std::memcpy(&auxiliary, CMSG_DATA(item), sizeof auxiliary);
    if (auxiliary.tp_status & TP_STATUS_VLAN_VALID) {
      Bytes tag(4);
      put16(tag, 0, auxiliary.tp_vlan_tpid);
      put16(tag, 2, auxiliary.tp_vlan_tci);
      frame.bytes.insert(frame.bytes.begin() + 12, tag.begin(), tag.end());
      if (frame.offload.partial_checksum) frame.offload.checksum_start += 4;
    }
    arrived.push_back(std::move(frame));
  }
  return arrived;
}

std::vector<MemoryFrame> receive_from(Port& port, size_t count, size_t batch, unsigned queue) {
  std::vector<MemoryFrame> arrived;
  Batch frames(batch);
  const auto deadline = Clock::now() + kPatience;
  while (arrived.size() < count && Clock::now() < deadline) {
    if (port.descriptor(queue) >= 0) polls_ready(port.descriptor(queue), 10);
    const size_t got = port.receive(queue, frames.frames());
    for (size_t i = 0; i < got; i++) {
      MemoryFrame frame = frames.get(i);
      if (is_test_frame(frame.bytes)) arrived.push_back(std::move(frame));
    }
  }
  return arrived;
}

bool polls_ready(int descriptor, int milliseconds) {
  pollfd watched{descriptor, POLLIN, 0};
  return poll(&watched, 1, milliseconds) == 1 && watched.revents != 0;
}

}  // namespace headgate::test
