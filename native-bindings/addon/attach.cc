#include "addon/attach.h"

#include "addon/convert.h"
#include "ports/memory.h"
#include "ports/packet_socket.h"
#if __has_include("ports/pcap.h")
#include "ports/pcap.h"
#endif
#include "ports/tap.h"

namespace headgate {
namespace {

OpenedPort open_tap_port(const Napi::Object& spec, unsigned queues) {
  TapSpec tap;
  tap.netns = read_optional_string(spec, "netns").value_or("");
  tap.device = read_string(spec, "device");
  tap.mac = read_string(spec, "mac");
  tap.addresses = read_optional_strings(spec, "addresses").value_or(std::vector<std::string>{});
  tap.gateways = read_optional_strings(spec, "gateways").value_or(std::vector<std::string>{});
  tap.mtu = read_optional_number(spec, "mtu", 65535).value_or(0);
  tap.queues = static_cast<uint16_t>(queues);
  OpenedPort opened;
  opened.device = tap.device;
  opened.port = open_tap(tap, opened.error);
  return opened;
}

OpenedPort open_device_port(const Napi::Object& spec, unsigned queues, bool trunk) {
  OpenedPort opened;
  opened.device = read_string(spec, "device");
  opened.trunk = trunk;
  PacketSocketSpec socket;
  socket.device = opened.device;
  socket.queues = static_cast<uint16_t>(queues);
  opened.port = open_packet_socket(socket, opened.error);
  return opened;
}

#if __has_include("ports/pcap.h")
OpenedPort open_pcap_port(const Napi::Object& spec) {
  OpenedPort opened;
  opened.device = read_string(spec, "read");
  opened.port = open_pcap(opened.device, read_string(spec, "write"), opened.error);
  return opened;
}
#endif

OpenedPort open_memory_port(const Napi::Object& spec, unsigned queues) {
  bool offloads = spec.Get("offloads").IsUndefined() || read_bool(spec, "offloads");
  OpenedPort opened;
  opened.device = read_optional_string(spec, "trunk").value_or("");
  opened.trunk = !opened.device.empty();
  opened.port =
      std::make_unique<MemoryPort>(PortCapabilities{offloads, offloads, offloads, static_cast<uint16_t>(queues)});
  return opened;
}

}  // namespace

std::string trunk_device(const Napi::Object& spec) {
  std::string kind = read_string(spec, "kind");
  if (kind == "memory") return read_optional_string(spec, "trunk").value_or("");
  return kind == "nic" ? read_string(spec, "device") : "";
}

OpenedPort open_port(const Napi::Object& spec, unsigned queues) {
  std::string kind = read_string(spec, "kind");
  if (kind == "tap") return open_tap_port(spec, queues);
  if (kind == "veth" || kind == "nic") return open_device_port(spec, queues, kind == "nic");
#if __has_include("ports/pcap.h")
  if (kind == "pcap") return open_pcap_port(spec);
#endif
  if (kind == "memory") return open_memory_port(spec, queues);
  OpenedPort opened;
  opened.error = "There is no kind of port '" + kind + "'.";
  return opened;
}

}  // namespace headgate
