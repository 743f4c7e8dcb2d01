// Opens the port that an attach specification names (src/engine/addon.ts, PortSpec).
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "ports/port.h"

namespace headgate {

struct OpenedPort {
  std::unique_ptr<Port> port;  // null with `error` set when it cannot be opened
  std::string device;
  bool trunk = false;
  std::string error;
};

// The trunk that a nic or memory specification names, else empty: it may be open already.
std::string trunk_device(const Napi::Object& spec);

OpenedPort open_port(const Napi::Object& spec, unsigned queues);

}  // namespace headgate
