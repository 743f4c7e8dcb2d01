#include "ports/tunnel.h"

namespace headgate {

std::unique_ptr<TunnelPort> open_tunnel(const TunnelSpec& spec, std::string& error) {
  error = "Tunnel " + spec.name + " cannot be opened yet.";
  return nullptr;
}

}  // namespace headgate
