#include "tables/rule.h"

#include <algorithm>

namespace headgate {
namespace {

bool in_any(const AddressSets& sets, const Address& address) {
  return std::any_of(sets.begin(), sets.end(), [&](const auto& set) { return set->contains(address); });
}

bool in_any(const std::vector<PortRange>& ranges, uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(), [&](PortRange r) { return r.first <= port && port <= r.last; });
}

bool has_ports(uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp;
}
bool has_icmp_type(uint8_t protocol) {
  return protocol == kIcmp || protocol == kIcmp6;
}

bool matches(const ServiceMatch& service, const FlowHeaders& flow) {
  if (service.protocol >= 0 && service.protocol != flow.protocol) return false;
  bool wants_ports = !service.ports.empty() || !service.source_ports.empty();
  if (wants_ports && !has_ports(flow.protocol)) return false;
  if (!service.ports.empty() && !in_any(service.ports, flow.destination_port)) return false;
  if (!service.source_ports.empty() && !in_any(service.source_ports, flow.source_port)) return false;
  bool wants_icmp = service.icmp_type >= 0 || service.icmp_code >= 0;
  if (wants_icmp && !has_icmp_type(flow.protocol)) return false;
  if (service.icmp_type >= 0 && service.icmp_type != flow.icmp_type) return false;
  return service.icmp_code < 0 || service.icmp_code == flow.icmp_code;
}

}  // namespace

bool matches(const Rule& rule, const FlowHeaders& flow) {
  if (!rule.any_service &&
      std::none_of(rule.services.begin(), rule.services.end(), [&](const auto& s) { return matches(s, flow); }))
    return false;
  return (rule.any_source || in_any(rule.sources, flow.source)) &&
         (rule.any_destination || in_any(rule.destinations, flow.destination));
}

}  // namespace headgate
