// An existing interface (our end of a veth pair, a NIC) as a port, by a packet socket (packet(7)). Frames
// carry the virtio-net header (PACKET_VNET_HDR), so super-frames pass whole and the kernel segments where the
// device cannot. The interface is in promiscuous mode while the port is open; what the host's own stack does
// with it is not our business: it should carry no address.
//
// A queue is one socket; with several, the kernel spreads flows over them (PACKET_FANOUT_HASH). VLAN tags
// that the kernel took out of a frame are put back. An interface that is down is no failure: frames to it are
// kOutputDown, and it works again when it is up. When it is gone, the queue that notices puts a descriptor
// that never becomes readable in the place of its own: receive returns 0, an epoll set does not spin, and
// `failure` says what happened.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <vector>

#include "ports/coalesce.h"
#include "ports/port.h"

namespace headgate {

struct PacketSocketSpec {
  std::string device{};
  uint16_t queues = 1;
  std::vector<int> descriptors{};  // of each queue, which the port owns from then on; empty: they are to be opened
};

class PacketSocketPort final : public Port {
 public:
  ~PacketSocketPort() override;

  PortCapabilities capabilities() const override;
  int descriptor(unsigned queue) const override;
  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;
  std::string failure() const override;

  // Frames since the port was opened that the kernel dropped because no receive took them in time. Any
  // thread.
  uint64_t missed() const;

 private:
  friend std::unique_ptr<PacketSocketPort> open_packet_socket(const PacketSocketSpec&, std::string&);

  static constexpr size_t kBatch = 64;  // messages in one system call

  // A socket and what recvmmsg and sendmmsg need, made once.
  struct alignas(64) Queue {
    int socket = -1;
    bool gone = false;
    bool coalesce = false;
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, 2 * kBatch> parts{};  // one per frame and one per super-frame's header
    std::array<SuperFrame, kBatch / 2 + 1> supers;
    struct alignas(8) Control {
      uint8_t bytes[64];
    };
    std::array<Control, kBatch> controls;
  };

  explicit PacketSocketPort(const PacketSocketSpec& spec);
  bool open_queue(Queue& queue, int index, std::string& error);
  bool adopt_queue(Queue& queue, int index, std::string& error);
  bool join_fanout(std::string& error);
  size_t receive_batch(Queue& queue, std::span<Frame* const> frames);
  size_t send_batch(Queue& queue, std::span<Frame* const> frames, std::span<Reason> outcomes);
  size_t prepare_batch(Queue& queue, std::span<Frame* const> frames);
  void check_gone(Queue& queue, int error);

  PacketSocketSpec spec_;
  const bool udp_segmentation_;
  std::vector<Queue> queues_;
  std::atomic<int> failure_{0};  // errno
  mutable std::atomic<uint64_t> missed_{0};
};

// Opens the interface in the calling thread's namespace. Null with `error` set (what, where, how to mend)
// when that fails.
std::unique_ptr<PacketSocketPort> open_packet_socket(const PacketSocketSpec& spec, std::string& error);

}  // namespace headgate
