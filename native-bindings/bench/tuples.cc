#include "bench/tuples.h"

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "packet/headers.h"

namespace headgate::bench {

namespace {

bool parse(const char* line, Tuple& rule) {
  unsigned byte[2][4], length[2], low[2], high[2], protocol, mask;
  int end = 0;
  int read = sscanf(line, "@%u.%u.%u.%u/%u %u.%u.%u.%u/%u %u : %u %u : %u %x/%x%n", &byte[0][0], &byte[0][1],
                    &byte[0][2], &byte[0][3], &length[0], &byte[1][0], &byte[1][1], &byte[1][2], &byte[1][3],
                    &length[1], &low[0], &high[0], &low[1], &high[1], &protocol, &mask, &end);
  if (read != 16 || protocol > 255 || (mask != 0 && mask != 255)) return false;
  if (line[end] != '\0' && line[end] != '\t' && line[end] != ' ' && line[end] != '\r') return false;
  for (int i = 0; i < 2; ++i) {
    if (length[i] > 32 || low[i] > high[i] || high[i] > 65535) return false;
    uint32_t address = 0;
    for (unsigned part : byte[i]) {
      if (part > 255) return false;
      address = address << 8 | part;
    }
    uint32_t host = length[i] == 32 ? 0 : UINT32_MAX >> length[i];
    rule.low[i] = address & ~host;
    rule.high[i] = address | host;
    rule.low[2 + i] = low[i];
    rule.high[2 + i] = high[i];
  }
  rule.low[4] = mask ? protocol : 0;
  rule.high[4] = mask ? protocol : 255;
  return true;
}

}  // namespace

std::vector<Tuple> read_tuples(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  std::vector<Tuple> rules;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    Tuple rule;
    if (!parse(line.c_str(), rule))
      throw std::runtime_error(path + ":" + std::to_string(number) + ": not a rule of the ClassBench form: " + line);
    rules.push_back(rule);
  }
  if (rules.empty()) throw std::runtime_error(path + ": holds no rules");
  return rules;
}

bool has_ports(const Tuple& rule) {
  uint32_t protocol = rule.low[4];
  return protocol == rule.high[4] && (protocol == kTcp || protocol == kUdp || protocol == kSctp);
}

size_t widen_ports(std::vector<Tuple>& rules) {
  size_t widened = 0;
  for (Tuple& rule : rules) {
    bool all = rule.low[2] == 0 && rule.high[2] == 65535 && rule.low[3] == 0 && rule.high[3] == 65535;
    if (all || has_ports(rule)) continue;
    rule.low[2] = rule.low[3] = 0;
    rule.high[2] = rule.high[3] = 65535;
    ++widened;
  }
  return widened;
}

Header draw_header(const Tuple& rule, bool corner, std::mt19937_64& random) {
  Header header;
  for (int i = 0; i < 5; ++i) {
    uint64_t span = uint64_t{rule.high[i]} - rule.low[i];
    header.field[i] = corner ? (random() & 1 ? rule.high[i] : rule.low[i])
                             : static_cast<uint32_t>(rule.low[i] + random() % (span + 1));
  }
  return header;
}

std::vector<Header> draw_headers(const std::vector<Tuple>& rules, size_t count, bool corner, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Header> headers;
  while (headers.size() < count) headers.push_back(draw_header(rules[random() % rules.size()], corner, random));
  return headers;
}

}  // namespace headgate::bench
