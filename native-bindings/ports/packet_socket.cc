// Opens, reads and writes packet sockets; see packet_socket.h. In the order in which it happens.
#include "ports/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "packet/virtio.h"
#include "ports/descriptors.h"
#include "ports/errors.h"
#include "ports/outcomes.h"

namespace headgate {
namespace {

// Room for some hundred super-frames; a limit, not memory taken.
constexpr int kReceiveBuffer = 32 << 20;
constexpr int kSendBuffer = 8 << 20;

bool set_option(int socket, int level, int name, int value) {
  return setsockopt(socket, level, name, &value, sizeof value) == 0;
}

std::string open_hint(int error) {
  switch (error) {
    case EPERM:
      return "The engine needs CAP_NET_RAW.";
    case ENODEV:
      return "Create the interface or correct its name; `ip link` lists them.";
    default:
      return "Check the interface with `ip link`.";
  }
}

// Packet sockets take UDP super-frames from Linux 6.2 on.
bool kernel_takes_udp_super_frames() {
  utsname system{};
  int major = 0, minor = 0;
  if (uname(&system) != 0 || std::sscanf(system.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 2);
}

}  // namespace

std::unique_ptr<PacketSocketPort> open_packet_socket(const PacketSocketSpec& spec, std::string& error) {
  if (spec.device.empty() || spec.device.size() >= IFNAMSIZ || spec.queues == 0) {
    error = "Interface '" + spec.device + "': a name has 1 to 15 characters, and a port at least one queue.";
    return nullptr;
  }
  const int index = static_cast<int>(if_nametoindex(spec.device.c_str()));
  if (index == 0) {
    error = "Interface " + spec.device + " cannot be opened: " + errno_text(errno) + ". " + open_hint(errno);
    return nullptr;
  }
  std::unique_ptr<PacketSocketPort> port(new PacketSocketPort(spec));
  const bool given = !spec.descriptors.empty();
  for (auto& queue : port->queues_) {
    if (!(given ? port->adopt_queue(queue, index, error) : port->open_queue(queue, index, error))) return nullptr;
  }
  if (!given && spec.queues > 1 && !port->join_fanout(error)) return nullptr;
  return port;
}

PacketSocketPort::PacketSocketPort(const PacketSocketSpec& spec)
    : spec_(spec), udp_segmentation_(kernel_takes_udp_super_frames()), queues_(spec.queues) {
  for (size_t i = 0; i < spec.descriptors.size(); ++i) {
    if (i < queues_.size())
      queues_[i].socket = spec.descriptors[i];
    else
      close(spec.descriptors[i]);
  }
}

PacketSocketPort::~PacketSocketPort() {
  for (const Queue& queue : queues_) {
    if (queue.socket >= 0) close(queue.socket);
  }
}

// The socket has no protocol until it is bound, so it never holds a frame of another interface.
bool PacketSocketPort::open_queue(Queue& queue, int index, std::string& error) {
  queue.socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto fail = [&](const char* what) {
    const int cause = errno;
    error =
        "Interface " + spec_.device + " cannot be opened: " + what + ": " + errno_text(cause) + ". " + open_hint(cause);
    return false;
  };
  if (queue.socket < 0) return fail("packet socket");
  if (!set_option(queue.socket, SOL_PACKET, PACKET_VNET_HDR, 1)) return fail("virtio-net header");
  if (!set_option(queue.socket, SOL_PACKET, PACKET_AUXDATA, 1)) return fail("VLAN tags");
  if (!set_option(queue.socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) return fail("one direction");
  if (!set_option(queue.socket, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer)) {
    set_option(queue.socket, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);  // as far as net.core.rmem_max allows
  }
  if (!set_option(queue.socket, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer)) {
    set_option(queue.socket, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  if (bind(queue.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return fail("bind");
  packet_mreq membership{};
  membership.mr_ifindex = index;
  membership.mr_type = PACKET_MR_PROMISC;
  if (setsockopt(queue.socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0) {
    return fail("promiscuous mode");
  }
  queue.coalesce = udp_segmentation_;
  return true;
}

// A socket of an engine before, with its options and the frames that wait in it.
bool PacketSocketPort::adopt_queue(Queue& queue, int index, std::string& error) {
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  queue.coalesce = udp_segmentation_;
  if (queue.socket >= 0 && getsockname(queue.socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      address.sll_family == AF_PACKET && address.sll_ifindex == index)
    return true;
  error = "Interface " + spec_.device + " cannot be taken over: a descriptor that was given for it is another's";
  return false;
}

// Until the last socket has joined, each gets every frame: what came in by then is thrown away.
bool PacketSocketPort::join_fanout(std::string& error) {
  int group = 0;
  for (size_t i = 0; i < queues_.size(); i++) {
    const int flags = PACKET_FANOUT_HASH | (i == 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
    socklen_t size = sizeof group;
    const bool joined = set_option(queues_[i].socket, SOL_PACKET, PACKET_FANOUT, group | flags << 16);
    if (!joined || (i == 0 && getsockopt(queues_[i].socket, SOL_PACKET, PACKET_FANOUT, &group, &size) != 0)) {
      error = "Interface " + spec_.device + ": its flows cannot be spread over " + std::to_string(queues_.size()) +
              " queues: " + errno_text(errno) + ". Use one worker.";
      return false;
    }
    group &= 0xffff;
  }
  uint8_t scrap[1];
  for (const Queue& queue : queues_) {
    while (recv(queue.socket, scrap, sizeof scrap, MSG_TRUNC) >= 0) {
    }
  }
  return true;
}

PortCapabilities PacketSocketPort::capabilities() const {
  return {.tcp_segmentation = true,
          .udp_segmentation = udp_segmentation_,
          .checksum = true,
          .queues = static_cast<uint16_t>(queues_.size())};
}

int PacketSocketPort::descriptor(unsigned queue) const {
  return queues_[queue].socket;
}

size_t PacketSocketPort::receive(unsigned number, std::span<Frame* const> frames) {
  Queue& queue = queues_[number];
  size_t count = 0;
  while (count < frames.size() && !queue.gone) {
    const auto batch = frames.subspan(count, std::min(kBatch, frames.size() - count));
    const size_t got = receive_batch(queue, batch);
    count += got;
    if (got < batch.size()) break;
  }
  return count;
}

// Puts back the tag that the kernel holds beside the frame.
static void insert_tag(Frame& frame, uint16_t protocol, uint16_t control) {
  frame.data -= 4;
  frame.length += 4;
  std::memmove(frame.data, frame.data + 4, 12);
  const uint8_t tag[4] = {static_cast<uint8_t>(protocol >> 8), static_cast<uint8_t>(protocol),
                          static_cast<uint8_t>(control >> 8), static_cast<uint8_t>(control)};
  std::memcpy(frame.data + 12, tag, sizeof tag);
  if (frame.offload.partial_checksum) frame.offload.checksum_start += 4;
  if (frame.offload.kind != Offload::kNone) frame.offload.header_length += 4;
}

static void restore_tag(Frame& frame, msghdr& message) {
  for (const cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr;
       item = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(item))) {
    if (item->cmsg_level != SOL_PACKET || item->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata data;
    std::memcpy(&data, CMSG_DATA(item), sizeof data);
    if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0 || frame.length < 12) continue;
    const bool named = (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
    insert_tag(frame, named ? data.tp_vlan_tpid : ETH_P_8021Q, data.tp_vlan_tci);
  }
}

size_t PacketSocketPort::receive_batch(Queue& queue, std::span<Frame* const> frames) {
  for (size_t i = 0; i < frames.size(); i++) {
    Frame& frame = *frames[i];
    frame.data = frame.buffer + kHeadroom;
    queue.parts[i] = {frame.data - kWireOffload, kWireOffload + kMaxFrame};
    msghdr& message = queue.messages[i].msg_hdr;
    message = {};
    message.msg_iov = &queue.parts[i];
    message.msg_iovlen = 1;
    message.msg_control = queue.controls[i].bytes;
    message.msg_controllen = sizeof queue.controls[i].bytes;
  }
  int got;
  do {
    got = recvmmsg(queue.socket, queue.messages.data(), static_cast<unsigned>(frames.size()), 0, nullptr);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno != EAGAIN) check_gone(queue, errno);
    return 0;
  }
  for (size_t i = 0; i < static_cast<size_t>(got); i++) {
    Frame& frame = *frames[i];
    const uint32_t size = std::max(queue.messages[i].msg_len, kWireOffload);
    frame.length = size - kWireOffload;
    frame.offload = read_offload(frame.data - kWireOffload);
    restore_tag(frame, queue.messages[i].msg_hdr);
  }
  return static_cast<size_t>(got);
}

void PacketSocketPort::transmit(unsigned number, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  Queue& queue = queues_[number];
  size_t done = 0;
  while (done < frames.size() && !queue.gone) {
    done += send_batch(queue, frames.subspan(done), outcomes.subspan(done));
  }
  std::fill(outcomes.begin() + done, outcomes.begin() + frames.size(), Reason::kOutputDown);
}

// Makes messages of the first frames, a super-frame of every run of datagrams; returns how many messages.
size_t PacketSocketPort::prepare_batch(Queue& queue, std::span<Frame* const> frames) {
  size_t messages = 0, parts = 0, supers = 0;
  for (size_t at = 0; at < frames.size(); messages++) {
    msghdr& message = queue.messages[messages].msg_hdr;
    message = {};
    message.msg_iov = &queue.parts[parts];
    SuperFrame& super = queue.supers[supers];
    super.frames = 1;
    if (queue.coalesce) coalesce_udp(frames.subspan(at), super);
    if (super.frames > 1) {
      queue.parts[parts++] = {super.bytes, super.header};
      for (size_t i = 0; i < super.frames; i++) {
        const Frame& frame = *frames[at + i];
        queue.parts[parts++] = {frame.data + super.headers_length, frame.length - super.headers_length};
      }
      supers++;
    } else {
      const Frame& frame = *frames[at];
      write_offload(frame.offload, frame.data - kWireOffload);
      queue.parts[parts++] = {frame.data - kWireOffload, kWireOffload + frame.length};
    }
    message.msg_iovlen = static_cast<size_t>(&queue.parts[parts] - message.msg_iov);
    at += super.frames;
  }
  return messages;
}

// Sends what one system call takes and says how many frames that dealt with; 0 only when
// they are to be tried again one by one.
size_t PacketSocketPort::send_batch(Queue& queue, std::span<Frame* const> all, std::span<Reason> outcomes) {
  const auto frames = all.first(std::min(kBatch, all.size()));
  const size_t messages = prepare_batch(queue, frames);
  int sent;
  do {
    sent = sendmmsg(queue.socket, queue.messages.data(), static_cast<unsigned>(messages), 0);
  } while (sent < 0 && errno == EINTR);
  // A message holds one frame in one part, or a header and its frames in as many parts more.
  const auto frames_of = [&](size_t message) {
    const size_t parts = queue.messages[message].msg_hdr.msg_iovlen;
    return parts == 1 ? 1 : parts - 1;
  };
  if (sent > 0) {
    size_t done = 0;
    for (size_t i = 0; i < static_cast<size_t>(sent); i++) done += frames_of(i);
    std::fill_n(outcomes.begin(), done, Reason::kNone);
    return done;
  }
  const int error = errno;
  if (error == EINVAL && frames_of(0) > 1) {
    queue.coalesce = false;  // this kernel or device does not take them after all: from now on one by one
    return 0;
  }
  if (error == EAGAIN) {  // the send buffer is full: so it is for the others
    std::fill_n(outcomes.begin(), all.size(), Reason::kOutputFull);
    return all.size();
  }
  std::fill_n(outcomes.begin(), frames_of(0), output_reason(error));
  check_gone(queue, error);
  return frames_of(0);
}

// An interface that went down reports ENETDOWN once and may come back; one that is gone leaves the socket
// without.
void PacketSocketPort::check_gone(Queue& queue, int error) {
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  if (getsockname(queue.socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sll_ifindex > 0) return;
  missed();
  queue.gone = true;
  failure_.store(error, std::memory_order_relaxed);
  silence_descriptor(queue.socket);
}

std::string PacketSocketPort::failure() const {
  const int error = failure_.load(std::memory_order_relaxed);
  return error == 0 ? "" : "interface " + spec_.device + " is gone: " + errno_text(error);
}

// The kernel's counter starts anew with each reading.
uint64_t PacketSocketPort::missed() const {
  for (const Queue& queue : queues_) {
    tpacket_stats statistics{};
    socklen_t size = sizeof statistics;
    if (getsockopt(queue.socket, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0) {
      missed_.fetch_add(statistics.tp_drops, std::memory_order_relaxed);
    }
  }
  return missed_.load(std::memory_order_relaxed);
}

}  // namespace headgate
