// A TAP device as a port (Documentation/networking/tuntap.rst): one end is our descriptor, the other a
// network interface inside the workload's namespace. Frames carry the virtio-net header, so TCP and UDP
// super-frames pass whole. The device is persistent: it stays, with its addresses, when the engine stops, and
// is attached again.
//
// The descriptors may also come from an engine before, or from whoever kept them: then frames that wait in them are
// read as if nothing had been.
//
// A queue is one descriptor (IFF_MULTI_QUEUE). When the device is deleted, the queue that notices puts a
// descriptor that never becomes readable in the place of its own: an epoll set does not spin, and `failure`
// says what happened.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <vector>

#include "ports/coalesce.h"
#include "ports/port.h"

namespace headgate {

struct TapSpec {
  std::string netns{};  // a name below /run/netns or an absolute path; empty: the engine's own namespace
  std::string device{};
  std::string mac{};                     // `02:00:00:00:00:01`; empty: the kernel chooses
  std::vector<std::string> addresses{};  // `10.0.1.2/24`
  std::vector<std::string> gateways{};   // default routes
  uint32_t mtu = 0;                      // bytes of IP; 0 leaves the device's own
  uint16_t queues = 1;
  std::vector<int> descriptors{};  // of each queue, which the port owns from then on; empty: they are to be opened
};

class TapPort final : public Port {
 public:
  // Closes the descriptors. The device stays, unless `remove` was called.
  ~TapPort() override;

  PortCapabilities capabilities() const override;
  int descriptor(unsigned queue) const override;
  size_t receive(unsigned queue, std::span<Frame* const> frames) override;
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override;
  // Also notices that the namespace was deleted (our descriptors would keep it and the device alive, unseen).
  std::string failure() const override;

  // The device is to go away with this port: it is deleted when the port is destroyed. No worker may use the
  // port.
  void remove();

 private:
  friend std::unique_ptr<TapPort> open_tap(const TapSpec&, std::string&);

  struct alignas(64) Queue {
    int descriptor = -1;
    bool gone = false;
    bool coalesce = false;
    size_t limit = 1;  // reads in the next receive
    SuperFrame super;
    iovec parts[1 + kMaxSegments];
  };

  explicit TapPort(const TapSpec& spec);
  bool open_queues(std::string& error);
  bool adopt_queues(std::string& error);
  void note_namespace();
  bool in_its_namespace(int descriptor) const;
  bool open_queue(Queue& queue, std::string& error);
  bool set_offloads(int descriptor, std::string& error);
  bool configure(std::string& error);
  size_t write_run(Queue& queue, std::span<Frame* const> frames, int& error);
  void fail(Queue& queue, int error);
  std::string where() const;

  TapSpec spec_;
  std::string namespace_;  // path
  dev_t namespace_device_ = 0;
  ino_t namespace_inode_ = 0;
  bool udp_segmentation_ = false;
  std::vector<Queue> queues_;
  std::atomic<int> failure_{0};  // errno
};

// Makes the device or attaches to an existing one, and sets it up as `spec` says. Null with `error` set
// (what, where, how to mend) when that fails; a device made by this call is then gone again.
std::unique_ptr<TapPort> open_tap(const TapSpec& spec, std::string& error);

}  // namespace headgate
