// Opens, sets up, reads and writes a TAP device; see tap.h. In the order in which it happens.
#include "ports/tap.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packet/virtio.h"
#include "ports/descriptors.h"
#include "ports/errors.h"
#include "ports/namespaces.h"
#include "ports/netlink.h"
#include "ports/outcomes.h"
#include "tables/text.h"

namespace headgate {
namespace {

// UDP segmentation offload, Linux 6.2; missing from older headers.
constexpr unsigned kUso4 = 0x20;
constexpr unsigned kUso6 = 0x40;
// TUNGETDEVNETNS, likewise.
constexpr unsigned long kGetNamespace = _IO('T', 227);
constexpr unsigned kTcpOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

std::string attach_hint(int error) {
  switch (error) {
    case EBUSY:
      return "Another process holds the device: stop it, or use another device name.";
    case EINVAL:
      return "An interface of that name exists that is no TAP device, or was made with another kind of "
             "queues: "
             "delete it (`ip link del`) or use another device name.";
    case EPERM:
      return "The engine needs CAP_NET_ADMIN in that namespace.";
    case E2BIG:
      return "The device has too many queues: use fewer workers.";
    default:
      return "Check the device name.";
  }
}

// A device whose carrier has come can be sent on only when the kernel's link watch has run, a little later; whoever
// asks for the link makes it run (from Linux 6.8).
void await_link(const std::string& device) {
  ethtool_value link{.cmd = ETHTOOL_GLINK, .data = 0};
  ifreq request{};
  std::memcpy(request.ifr_name, device.data(), device.size());
  request.ifr_data = reinterpret_cast<char*>(&link);
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ioctl(any, SIOCETHTOOL, &request);
  if (any >= 0) close(any);
}

}  // namespace

std::unique_ptr<TapPort> open_tap(const TapSpec& spec, std::string& error) {
  if (spec.device.empty() || spec.device.size() >= IFNAMSIZ || spec.queues == 0) {
    error = "TAP device '" + spec.device + "': a device name has 1 to 15 characters, and a port at least one queue.";
    return nullptr;
  }
  std::unique_ptr<TapPort> port(new TapPort(spec));
  bool opened = false;
  const auto open_all = [&] {
    opened = spec.descriptors.empty() ? port->open_queues(error) : port->adopt_queues(error);
  };
  if (!run_in_namespace(port->namespace_, open_all, error)) {
    error = "TAP device " + spec.device + ": " + error;
    return nullptr;
  }
  return opened ? std::move(port) : nullptr;
}

TapPort::TapPort(const TapSpec& spec) : spec_(spec), namespace_(namespace_path(spec.netns)), queues_(spec.queues) {
  for (size_t i = 0; i < spec.descriptors.size(); ++i) {
    if (i < queues_.size())
      queues_[i].descriptor = spec.descriptors[i];
    else
      close(spec.descriptors[i]);
  }
}

TapPort::~TapPort() {
  for (const Queue& queue : queues_) {
    if (queue.descriptor >= 0) close(queue.descriptor);
  }
}

std::string TapPort::where() const {
  return "TAP device " + spec_.device + (namespace_.empty() ? "" : " in namespace " + namespace_);
}

void TapPort::note_namespace() {
  if (namespace_.empty()) return;
  struct stat status {};
  stat(namespace_.c_str(), &status);
  namespace_device_ = status.st_dev;
  namespace_inode_ = status.st_ino;
}

// The device is set up already. What the kernel says of the descriptors counts, not who gave them.
bool TapPort::adopt_queues(std::string& error) {
  note_namespace();
  for (const Queue& queue : queues_) {
    ifreq request{};
    if (queue.descriptor >= 0 && ioctl(queue.descriptor, TUNGETIFF, &request) == 0 &&
        spec_.device == request.ifr_name && (request.ifr_flags & IFF_VNET_HDR) && in_its_namespace(queue.descriptor))
      continue;
    error = where() + " cannot be taken over: a descriptor that was given for it is another's";
    return false;
  }
  if (!set_offloads(queues_[0].descriptor, error)) return false;
  for (Queue& queue : queues_) queue.coalesce = udp_segmentation_;
  return true;
}

bool TapPort::in_its_namespace(int descriptor) const {
  if (namespace_.empty()) return true;
  const int file = ioctl(descriptor, kGetNamespace);
  if (file < 0) return errno == EINVAL || errno == ENOTTY;  // before Linux 5.2 nobody says
  struct stat status {};
  const bool same =
      fstat(file, &status) == 0 && status.st_dev == namespace_device_ && status.st_ino == namespace_inode_;
  close(file);
  return same;
}

// Runs inside the namespace: a TUN descriptor belongs to the namespace of the thread that opened it.
bool TapPort::open_queues(std::string& error) {
  note_namespace();
  for (Queue& queue : queues_) {
    if (!open_queue(queue, error)) return false;
  }
  if (!set_offloads(queues_[0].descriptor, error) || !configure(error)) return false;
  for (Queue& queue : queues_) queue.coalesce = udp_segmentation_;
  if (ioctl(queues_[0].descriptor, TUNSETPERSIST, 1) != 0) {
    error = where() + " cannot be made persistent: " + errno_text(errno);
    return false;
  }
  return true;
}

bool TapPort::open_queue(Queue& queue, std::string& error) {
  queue.descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (queue.descriptor < 0) {
    error = where() + " cannot be made: /dev/net/tun: " + errno_text(errno) +
            ". Load the module (`modprobe tun`), or give the container the device (`--device /dev/net/tun`).";
    return false;
  }
  ifreq request{};
  std::memcpy(request.ifr_name, spec_.device.data(), spec_.device.size());
  const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (spec_.queues > 1 ? IFF_MULTI_QUEUE : 0);
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(queue.descriptor, TUNSETIFF, &request) != 0) {
    const int cause = errno;
    error = where() + " cannot be attached: " + errno_text(cause) + ". " + attach_hint(cause);
    return false;
  }
  int header = kWireOffload;
  if (ioctl(queue.descriptor, TUNSETVNETHDRSZ, &header) != 0) {
    error = where() + " refuses a virtio-net header of 10 bytes: " + errno_text(errno);
    return false;
  }
  return true;
}

// A kernel that lets us receive UDP super-frames also takes them (both came with Linux 6.2).
bool TapPort::set_offloads(int descriptor, std::string& error) {
  if (ioctl(descriptor, TUNSETOFFLOAD, kTcpOffloads | kUso4 | kUso6) == 0) {
    udp_segmentation_ = true;
    return true;
  }
  if (ioctl(descriptor, TUNSETOFFLOAD, kTcpOffloads) == 0) return true;
  error = where() + " refuses TCP segmentation offload: " + errno_text(errno);
  return false;
}

bool TapPort::configure(std::string& error) {
  std::string cause;
  const auto fail = [&](const std::string& what, const std::string& hint = "") {
    error = where() + ": " + what + (cause.empty() ? "" : ": " + cause) + "." + (hint.empty() ? "" : " " + hint);
    return false;
  };
  std::optional<Mac> mac;
  if (!spec_.mac.empty()) {
    mac = parse_mac(spec_.mac);
    if (!mac) return fail("'" + spec_.mac + "' is no MAC of a host", "Write it as 02:00:00:00:00:01, in lower case.");
  }
  // When the MAC is set, be it the one that it has, the kernel forgets neighbours for whom it has asked in vain, and
  // asks anew. From then on it has to be heard: it would ask again only a second later.
  await_link(spec_.device);
  std::optional<uint32_t> mtu;
  if (spec_.mtu != 0) mtu = spec_.mtu;

  Netlink netlink;
  if (!netlink.open(cause)) return fail("cannot be set up");
  const int index = static_cast<int>(if_nametoindex(spec_.device.c_str()));
  if (!netlink.set_link(index, mac, mtu, true, cause)) {
    return fail("MAC " + spec_.mac + " and MTU " + std::to_string(spec_.mtu) + " cannot be set",
                "A MAC must be no group address, an MTU between 68 and 65521.");
  }
  for (const std::string& text : spec_.addresses) {
    const auto prefix = parse_prefix(text);
    if (!prefix) return fail("'" + text + "' is no address", "Write it as 10.0.0.1/24 or fd00::1/64.");
    if (!netlink.add_address(index, *prefix, cause)) {
      return fail("address " + text + " cannot be added",
                  prefix->family == AF_INET6 ? "Is IPv6 disabled in the namespace?" : "");
    }
  }
  for (const std::string& text : spec_.gateways) {
    const auto gateway = parse_prefix(text);
    if (!gateway || text.find('/') != std::string::npos) {
      return fail("'" + text + "' is no gateway", "Write it as 10.0.0.1 or fd00::1.");
    }
    if (!netlink.set_default_route(index, *gateway, cause)) {
      return fail("the default route by " + text + " cannot be set",
                  "The gateway must lie inside the prefix of one of the device's addresses.");
    }
  }
  return true;
}

PortCapabilities TapPort::capabilities() const {
  return {.tcp_segmentation = true,
          .udp_segmentation = udp_segmentation_,
          .checksum = true,
          .queues = static_cast<uint16_t>(queues_.size())};
}

int TapPort::descriptor(unsigned queue) const {
  return queues_[queue].descriptor;
}

// A read that finds nothing costs about a tenth of one that brings a small frame. The number of reads
// therefore follows the load: doubled while every read brings a frame, else what the last call brought. What
// is left behind keeps the descriptor readable.
size_t TapPort::receive(unsigned number, std::span<Frame* const> frames) {
  Queue& queue = queues_[number];
  if (queue.gone) return 0;
  const size_t limit = std::min(queue.limit, frames.size());
  size_t count = 0;
  while (count < limit) {
    Frame& frame = *frames[count];
    frame.data = frame.buffer + kHeadroom;
    const ssize_t size = read(queue.descriptor, frame.data - kWireOffload, kWireOffload + kMaxFrame);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) fail(queue, errno);
      break;
    }
    if (size < static_cast<ssize_t>(kWireOffload)) break;
    frame.length = static_cast<uint32_t>(size) - kWireOffload;
    frame.offload = read_offload(frame.data - kWireOffload);
    count++;
  }
  queue.limit = count == limit ? std::min<size_t>(limit * 2, 256) : std::max<size_t>(count, 1);
  return count;
}

void TapPort::transmit(unsigned number, std::span<Frame* const> frames, std::span<Reason> outcomes) {
  Queue& queue = queues_[number];
  size_t done = 0;
  while (done < frames.size()) {
    if (queue.gone) {
      std::fill(outcomes.begin() + done, outcomes.begin() + frames.size(), Reason::kOutputDown);
      return;
    }
    int error = 0;
    const size_t run = write_run(queue, frames.subspan(done), error);
    std::fill_n(outcomes.begin() + done, run, output_reason(error));
    done += run;
  }
}

// Writes the first frame, or the run of frames that it can be joined with; returns how many it dealt with.
size_t TapPort::write_run(Queue& queue, std::span<Frame* const> frames, int& error) {
  SuperFrame& super = queue.super;
  super.frames = 1;
  if (queue.coalesce) coalesce_udp(frames, super);
  ssize_t written;
  if (super.frames > 1) {
    queue.parts[0] = {super.bytes, super.header};
    for (size_t i = 0; i < super.frames; i++) {
      const Frame& frame = *frames[i];
      queue.parts[1 + i] = {frame.data + super.headers_length, frame.length - super.headers_length};
    }
    do {
      written = writev(queue.descriptor, queue.parts, static_cast<int>(1 + super.frames));
    } while (written < 0 && errno == EINTR);
  } else {
    const Frame& frame = *frames[0];
    write_offload(frame.offload, frame.data - kWireOffload);
    do {
      written = write(queue.descriptor, frame.data - kWireOffload, kWireOffload + frame.length);
    } while (written < 0 && errno == EINTR);
  }
  error = written < 0 ? errno : 0;
  if (error == EINVAL && super.frames > 1) {
    queue.coalesce = false;  // the kernel took the offload but not the frame: from now on one by one
    return write_run(queue, frames, error);
  }
  if (error == EBADFD || error == ENODEV || error == ENXIO) fail(queue, error);
  return super.frames;
}

void TapPort::fail(Queue& queue, int error) {
  queue.gone = true;
  failure_.store(error, std::memory_order_relaxed);
  silence_descriptor(queue.descriptor);
}

std::string TapPort::failure() const {
  const int error = failure_.load(std::memory_order_relaxed);
  if (error != 0) return where() + " is gone: " + errno_text(error);
  if (namespace_.empty()) return {};
  struct stat status {};
  if (stat(namespace_.c_str(), &status) != 0) {
    return where() + " is gone: the namespace was deleted: " + errno_text(errno);
  }
  if (status.st_dev != namespace_device_ || status.st_ino != namespace_inode_) {
    return where() + " is gone: the namespace was replaced by another of that name";
  }
  return {};
}

void TapPort::remove() {
  for (const Queue& queue : queues_) {
    if (!queue.gone) ioctl(queue.descriptor, TUNSETPERSIST, 0);
  }
}

}  // namespace headgate
