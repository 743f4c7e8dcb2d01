#include "addon/attach.h"

#include <charconv>

#include "addon/convert.h"
#include "ports/memory.h"
#include "ports/packet_socket.h"
#if __has_include("ports/pcap.h")
#include "ports/pcap.h"
#endif
#include "ports/tap.h"

namespace headgate {
namespace {

OpenedPort open_tap_port(const Napi::Object& spec, unsigned queues, const std::vector<int>& descriptors) {
  TapSpec tap;
  tap.netns = read_optional_string(spec, "netns").value_or("");
  tap.device = read_string(spec, "device");
  tap.mac = read_string(spec, "mac");
  tap.addresses = read_optional_strings(spec, "addresses").value_or(std::vector<std::string>{});
  tap.gateways = read_optional_strings(spec, "gateways").value_or(std::vector<std::string>{});
  tap.mtu = read_optional_number(spec, "mtu", 65535).value_or(0);
  tap.queues = static_cast<uint16_t>(queues);
  tap.descriptors = descriptors;
  OpenedPort opened;
  opened.device = tap.device;
  opened.port = open_tap(tap, opened.error);
  return opened;
}

OpenedPort open_device_port(const Napi::Object& spec, unsigned queues, bool trunk,
                            const std::vector<int>& descriptors) {
  OpenedPort opened;
  opened.device = read_string(spec, "device");
  opened.trunk = trunk;
  PacketSocketSpec socket;
  socket.device = opened.device;
  socket.queues = static_cast<uint16_t>(queues);
  socket.descriptors = descriptors;
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

// Bytes in hexadecimal; absent: none.
std::vector<uint8_t> read_hex(const Napi::Object& spec, const char* field) {
  const std::string text = read_optional_string(spec, field).value_or("");
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(&text[i], &text[i] + 2, byte, 16);
    if (error != std::errc() || end != &text[i] + 2)
      throw Napi::TypeError::New(spec.Env(), std::string(field) + " must be in hexadecimal.");
    bytes.push_back(byte);
  }
  return bytes;
}

}  // namespace

bool is_tunnel(const Napi::Object& spec) {
  return read_string(spec, "kind") == "tunnel";
}

OpenedTunnel open_tunnel_port(const Napi::Object& spec, unsigned queues, const std::vector<int>& receivers) {
  OpenedTunnel opened;
  TunnelSpec tunnel;
  tunnel.name = read_string(spec, "device");
  const std::string encapsulation = read_string(spec, "encapsulation");
  tunnel.encapsulation = find_encapsulation(encapsulation);
  if (!tunnel.encapsulation) {
    opened.error = "There is no encapsulation '" + encapsulation + "'.";
    return opened;
  }
  if (auto local = read_optional_string(spec, "local")) {
    const auto address = parse_address(*local);
    if (!address) {
      opened.error = "'" + *local + "' is no address.";
      return opened;
    }
    tunnel.local = *address;
  }
  tunnel.options.metadata = read_hex(spec, "metadata");
  tunnel.options.md_type = static_cast<uint8_t>(read_optional_number(spec, "metadataType", 2).value_or(2));
  tunnel.number = static_cast<uint16_t>(read_optional_number(spec, "port", 65535).value_or(0));
  tunnel.netns = read_optional_string(spec, "netns").value_or("");
  tunnel.device = read_optional_string(spec, "interface").value_or("");
  tunnel.mtu = read_optional_number(spec, "mtu", 65535).value_or(0);
  tunnel.queues = static_cast<uint16_t>(queues);
  tunnel.receivers = receivers;
  opened.port = open_tunnel(tunnel, opened.error);
  return opened;
}

std::string shared_device(const Napi::Object& spec) {
  std::string kind = read_string(spec, "kind");
  if (kind == "tunnel") return read_string(spec, "device");
  if (kind == "memory") return read_optional_string(spec, "trunk").value_or("");
  return kind == "nic" ? read_string(spec, "device") : "";
}

OpenedPort open_port(const Napi::Object& spec, unsigned queues, const std::vector<int>& descriptors) {
  std::string kind = read_string(spec, "kind");
  if (kind == "tap") return open_tap_port(spec, queues, descriptors);
  if (kind == "veth" || kind == "nic") return open_device_port(spec, queues, kind == "nic", descriptors);
#if __has_include("ports/pcap.h")
  if (kind == "pcap") return open_pcap_port(spec);
#endif
  if (kind == "memory") return open_memory_port(spec, queues);
  OpenedPort opened;
  opened.error = "There is no kind of port '" + kind + "'.";
  return opened;
}

}  // namespace headgate
