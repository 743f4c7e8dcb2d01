#include "tables/service_text.h"

#include <charconv>

namespace headgate {
namespace {

// Takes the text up to the separator, and the separator; all of it where there is none.
std::string_view take(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  std::string_view part = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return part;
}

std::optional<int> number(std::string_view text, int most) {
  int value = 0;
  if (text.empty() || text.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

// Empty text: none, which means any.
bool read_number(std::string_view text, int& out) {
  if (text.empty()) return true;
  const auto value = number(text, 255);
  out = value.value_or(out);
  return value.has_value();
}

bool read_ports(std::string_view text, std::vector<PortRange>& out) {
  while (!text.empty()) {
    const bool more = text.find(',') != std::string_view::npos;
    std::string_view one = take(text, ',');
    const bool is_range = one.find('-') != std::string_view::npos;
    const auto first = number(take(one, '-'), 65535);
    const auto last = is_range ? number(one, 65535) : first;
    if (!first || !last || (more && text.empty())) return false;
    out.push_back({static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)});
  }
  return true;
}

}  // namespace

std::optional<ServiceMatch> parse_service(std::string_view text) {
  ServiceMatch service;
  const auto protocol = number(take(text, '/'), 255);
  if (!protocol) return std::nullopt;
  service.protocol = *protocol;
  const std::string_view second = take(text, '/');
  const std::string_view third = take(text, '/');
  const bool icmp = service.protocol == kIcmp || service.protocol == kIcmp6;
  const bool read = icmp ? read_number(second, service.icmp_type) && read_number(third, service.icmp_code)
                         : read_ports(second, service.ports) && read_ports(third, service.source_ports);
  if (!read || !text.empty()) return std::nullopt;
  return service;
}

std::string format_service(const ServiceMatch& service) {
  const auto ports = [](const std::vector<PortRange>& ranges) {
    std::string text;
    for (const PortRange& range : ranges) {
      text += (text.empty() ? "" : ",") + std::to_string(range.first);
      if (range.last != range.first) text += "-" + std::to_string(range.last);
    }
    return text;
  };
  const auto number = [](int value) { return value < 0 ? "" : std::to_string(value); };
  const bool icmp = service.protocol == kIcmp || service.protocol == kIcmp6;
  const std::string second = icmp ? number(service.icmp_type) : ports(service.ports);
  const std::string third = icmp ? number(service.icmp_code) : ports(service.source_ports);
  std::string text = std::to_string(service.protocol);
  if (!second.empty() || !third.empty()) text += "/" + second;
  if (!third.empty()) text += "/" + third;
  return text;
}

}  // namespace headgate
