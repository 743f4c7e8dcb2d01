// A tunnel as a port: frames go to other hosts, and come from them, each with the remote and the key of its segment
// (Frame::hop). One port serves all remotes and segments of a tunnel. The outer headers are the kernel's: a UDP socket
// (VXLAN, Geneve, NSH over VXLAN-GPE), a raw IP socket (GRE, NVGRE) or a packet socket (NSH over Ethernet), opened in
// the namespace of the underlay.
//
// A super-frame is cut once, and all its segments go to the kernel in one call, without a copy of their payload; over
// UDP as few messages of up to 64 KiB (UDP_SEGMENT). What comes in is put together again (UDP_GRO, ports/join.h):
// segments of one TCP connection reach the pipeline as one super-frame.
//
// What comes from the underlay and is refused is handed on with the reason, so that it is counted and traced like any
// other frame.
#pragma once

#include <memory>

#include "packet/encapsulation/encapsulation.h"
#include "ports/port.h"

namespace headgate {

struct TunnelSpec {
  std::string name{};  // for messages
  const Encapsulation* encapsulation = nullptr;
  EncapsulationOptions options{};
  Address local{};       // outer source; not used over Ethernet
  uint16_t number = 0;   // UDP port; 0: the encapsulation's own. With one, GRE goes in UDP (RFC 8086)
  std::string netns{};   // of the underlay: a name below /run/netns or an absolute path; empty: the engine's own
  std::string device{};  // bound to this interface; empty: any. Over Ethernet it has to be given
  uint32_t mtu = 0;      // bytes of an outer IP packet (of a frame's payload over Ethernet); 0: as the kernel knows it
  uint16_t queues = 1;
  // What an engine before received on, by queue, which the port owns from then on; empty: they are to be opened. The
  // others send alone, and are opened anew.
  std::vector<int> receivers{};

  Carrier carrier() const {
    return encapsulation->carrier == Carrier::kIp && number ? Carrier::kUdp : encapsulation->carrier;
  }
};

class TunnelPort : public Port {
 public:
  // Whether receive left something that it has taken from the kernel already: it is to be called again.
  virtual bool has_more(unsigned queue) const = 0;

  // Bytes of the longest inner frame that gets to the remote whole, by the path MTU as it is known now; 0: there is no
  // way to it. Makes a system call: not on the packet path.
  virtual uint32_t most_to(const Address& remote) = 0;

  // Its queues' receivers, for the engine that follows; of those that have one.
  virtual std::vector<int> receivers() const { return {}; }
};

// Null with `error` set (what, where, how to mend) when that fails.
std::unique_ptr<TunnelPort> open_tunnel(const TunnelSpec& spec, std::string& error);

}  // namespace headgate
