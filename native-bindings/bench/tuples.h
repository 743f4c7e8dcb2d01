// Rules of the ClassBench form (bare 5-tuples) and headers for them: what bench_classify looks up. A rule a line, first
// in priority first:
//
//   @source/length <tab> destination/length <tab> low : high <tab> low : high <tab> protocol/mask <tab> flags/mask
//
// The ranges are those of source and destination ports; TCP flags are left aside.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace headgate::bench {

// Host byte order, both ends of a range inside. Fields: source, destination, source port, destination port, protocol.
struct Tuple {
  uint32_t low[5];
  uint32_t high[5];
};

struct Header {
  uint32_t field[5];
};

// Throws std::runtime_error that names the file and the line.
std::vector<Tuple> read_tuples(const std::string& path);

bool has_ports(const Tuple& rule);

// Some generated rules ask for ports with any protocol. A rule of Headgate has ports only where its protocol has, so
// such rules get all ports, for everybody who is measured. Says how many.
size_t widen_ports(std::vector<Tuple>& rules);

inline bool matches(const Tuple& rule, const Header& header) {
  bool all = true;
  for (int i = 0; i < 5; ++i) all &= rule.low[i] <= header.field[i] && header.field[i] <= rule.high[i];
  return all;
}

// In each field the low or the high end of the rule's range (`corner`, as ClassBench does), or anything in it.
Header draw_header(const Tuple& rule, bool corner, std::mt19937_64& random);
// Each from a rule that was drawn for it.
std::vector<Header> draw_headers(const std::vector<Tuple>& rules, size_t count, bool corner, uint64_t seed);

}  // namespace headgate::bench
