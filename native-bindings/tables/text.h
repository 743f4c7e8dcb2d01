// Texts that control sends, read at the engine's gate.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "packet/headers.h"

namespace headgate {

// `02:00:00:00:00:01`; nothing for anything else, for group addresses and for zero.
inline std::optional<Mac> parse_mac(const std::string& text) {
  Mac mac{};
  if (text.size() != 17) return std::nullopt;
  auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (int i = 0; i < 6; ++i) {
    int high = digit(text[i * 3]), low = digit(text[i * 3 + 1]);
    if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':')) return std::nullopt;
    mac[i] = static_cast<uint8_t>(high << 4 | low);
  }
  if ((mac[0] & 1) || mac == Mac{}) return std::nullopt;
  return mac;
}

inline std::string format_mac(const Mac& m) {
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
  return text;
}

}  // namespace headgate
