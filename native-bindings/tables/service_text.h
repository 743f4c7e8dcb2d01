// One alternative of a rule's services as text: `6`, `6/80,8000-8100`, `17//53` (source ports), `1/8`, `58/1/4` (ICMP
// type, code). src/engine/service-text.ts writes it.
#pragma once

#include <optional>
#include <string_view>

#include "tables/rule.h"

namespace headgate {

// Nothing when it is not such a text, or a number in it is out of bounds.
std::optional<ServiceMatch> parse_service(std::string_view text);

// The text that reads as this.
std::string format_service(const ServiceMatch& service);

}  // namespace headgate
