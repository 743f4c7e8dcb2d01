#include "packet/ftp.h"

#include <algorithm>
#include <charconv>

namespace headgate {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool begins_with(std::string_view line, std::string_view word) {
  const auto same = [](char a, char b) { return upper(a) == b; };
  return line.size() >= word.size() &&
         std::equal(word.begin(), word.end(), line.begin(), [&](char w, char l) { return same(l, w); });
}

// Takes a number off the front.
std::optional<unsigned> take_number(std::string_view& text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > most) return {};
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

std::optional<uint16_t> usable(unsigned port) {
  return port >= kFirstAnnouncedPort && port <= 65535 ? std::optional(static_cast<uint16_t>(port)) : std::nullopt;
}

// h1,h2,h3,h4,p1,p2
std::optional<uint16_t> six_numbers(std::string_view text) {
  unsigned numbers[6];
  for (size_t i = 0; i < 6; ++i) {
    if (i && (text.empty() || text.front() != ',')) return {};
    if (i) text.remove_prefix(1);
    const auto number = take_number(text, 255);
    if (!number) return {};
    numbers[i] = *number;
  }
  return usable(numbers[4] << 8 | numbers[5]);
}

// Three fields between one and the same character, and the port behind them: of 229 the three are empty.
std::optional<uint16_t> delimited(std::string_view text, bool empty_fields) {
  if (text.empty() || text.front() < 33 || text.front() > 126 || is_digit(text.front())) return {};
  const char mark = text.front();
  text.remove_prefix(1);
  for (int field = 0; field < 2; ++field) {
    const size_t end = text.find(mark);
    if (end == std::string_view::npos || (empty_fields && end != 0)) return {};
    text.remove_prefix(end + 1);
  }
  const auto port = take_number(text, 65535);
  if (!port || text.empty() || text.front() != mark) return {};
  return usable(*port);
}

}  // namespace

std::optional<uint16_t> announced_port(std::string_view line, bool from_server) {
  const auto behind = [&](std::string_view word) { return line.substr(word.size()); };
  if (!from_server) {
    if (begins_with(line, "PORT ")) return six_numbers(behind("PORT "));
    if (begins_with(line, "EPRT ")) return delimited(behind("EPRT "), false);
    return {};
  }
  if (begins_with(line, "227 ")) {
    // The text around the numbers is the server's own (RFC 1123, 4.1.2.6).
    const size_t numbers = line.find_first_of("0123456789", 4);
    return numbers == std::string_view::npos ? std::nullopt : six_numbers(line.substr(numbers));
  }
  if (begins_with(line, "229 ")) {
    const size_t bracket = line.find('(');
    return bracket == std::string_view::npos ? std::nullopt : delimited(line.substr(bracket + 1), true);
  }
  return {};
}

}  // namespace headgate
