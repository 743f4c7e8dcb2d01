// Opens the port that an attach specification names (src/engine/addon.ts, PortSpec).
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "ports/tunnel.h"

namespace headgate {

struct OpenedPort {
  std::unique_ptr<Port> port;  // null with `error` set when it cannot be opened
  std::string device;
  bool trunk = false;
  std::string error;
};

struct OpenedTunnel {
  std::unique_ptr<TunnelPort> port;  // likewise
  std::string error;
};

bool is_tunnel(const Napi::Object& spec);

// The trunk or tunnel that a specification names, else empty: it may be open already.
std::string shared_device(const Napi::Object& spec);

OpenedTunnel open_tunnel_port(const Napi::Object& spec, unsigned queues, const std::vector<int>& receivers);

// `descriptors`: of its queues, from an engine before; it owns them from then on. Empty: they are to be opened.
OpenedPort open_port(const Napi::Object& spec, unsigned queues, const std::vector<int>& descriptors);

}  // namespace headgate
