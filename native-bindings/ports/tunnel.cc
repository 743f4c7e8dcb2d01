// Opens a tunnel and joins its parts; see tunnel.h. tunnel_send.cc and tunnel_receive.cc have the work.
#include "ports/tunnel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "ports/errors.h"
#include "ports/namespaces.h"
#include "ports/tunnel_receive.h"
#include "ports/tunnel_send.h"

namespace headgate {
namespace {

// Where the way to no remote is known yet.
constexpr uint32_t kUsualMost = 1450 + 14 - 50;

class SocketTunnel final : public TunnelPort {
 public:
  explicit SocketTunnel(const TunnelSpec& spec) : spec_(spec) {}

  ~SocketTunnel() override {
    if (probe_ >= 0) close(probe_);
    if (silent_ >= 0) close(silent_);
  }

  // In the namespace of the underlay.
  bool open(std::string& error) {
    if (!addresses_.set_up(spec_, error)) return false;
    for (unsigned i = 0; i < spec_.queues; ++i) {
      TunnelSockets sockets;
      if (!open_sockets(spec_, addresses_, i, sockets, error)) return false;
      queues_.push_back(std::make_unique<Queue>(*this, std::move(sockets)));
    }
    silent_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    probe_ = open_probe(spec_, addresses_);
    if (silent_ >= 0 && probe_ >= 0) return true;
    error = "Tunnel " + spec_.name + " cannot be opened: " + errno_text(errno) + ".";
    return false;
  }

  bool prepare(std::string& error) {
    std::string what;
    if (spec_.encapsulation->prepare(spec_.options, own_, what)) return true;
    error = "Tunnel " + spec_.name + ": " + what;
    return false;
  }

  // The checksum of a frame that is not cut is completed before it comes here.
  PortCapabilities capabilities() const override {
    return {.tcp_segmentation = true,
            .udp_segmentation = true,
            .checksum = false,
            .queues = static_cast<uint16_t>(spec_.queues)};
  }

  int descriptor(unsigned queue) const override {
    const int receiver = queues_[queue]->sockets.receiver;
    return receiver >= 0 ? receiver : silent_;
  }

  std::vector<int> receivers() const override {
    std::vector<int> all;
    for (const auto& queue : queues_)
      if (queue->sockets.receiver >= 0) all.push_back(queue->sockets.receiver);
    return all;
  }

  size_t receive(unsigned queue, std::span<Frame* const> frames) override {
    return queues_[queue]->receiver.receive(frames, most_.load(std::memory_order_relaxed));
  }

  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    queues_[queue]->sender.transmit(frames, outcomes);
  }

  bool has_more(unsigned queue) const override { return queues_[queue]->receiver.has_more(); }

  uint32_t most_to(const Address& remote) override {
    const uint32_t mtu = path_mtu(probe_, spec_, addresses_, remote);
    const uint32_t header = addresses_.header_length() + own_.length;
    const uint32_t most = mtu > header ? mtu - header : 0;
    if (most) most_.store(most, std::memory_order_relaxed);
    return most;
  }

  // A device of the underlay may go and come back: frames to it are kOutputDown meanwhile.
  std::string failure() const override { return {}; }

 private:
  struct Queue {
    Queue(const SocketTunnel& tunnel, TunnelSockets&& opened)
        : sockets(std::move(opened)),
          sender(*tunnel.spec_.encapsulation, tunnel.own_, tunnel.addresses_, sockets),
          receiver(*tunnel.spec_.encapsulation, tunnel.own_, tunnel.addresses_, sockets.receiver) {}

    TunnelSockets sockets;
    TunnelSender sender;
    TunnelReceiver receiver;
  };

  const TunnelSpec spec_;
  Encapsulator own_;
  OuterAddresses addresses_;
  std::vector<std::unique_ptr<Queue>> queues_;
  int silent_ = -1;  // for queues that receive nothing
  int probe_ = -1;
  std::atomic<uint32_t> most_{kUsualMost};
};

}  // namespace

std::unique_ptr<TunnelPort> open_tunnel(const TunnelSpec& spec, std::string& error) {
  auto tunnel = std::make_unique<SocketTunnel>(spec);
  if (!tunnel->prepare(error)) return nullptr;
  bool opened = false;
  if (!run_in_namespace(
          namespace_path(spec.netns), [&] { opened = tunnel->open(error); }, error)) {
    error = "Tunnel " + spec.name + ": " + error;
    return nullptr;
  }
  if (!opened) return nullptr;
  return tunnel;
}

}  // namespace headgate
