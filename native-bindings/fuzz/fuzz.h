// What every fuzz target gives: the entry point that libFuzzer calls, and the inputs to begin with.
//
// A target is built twice over: by `npx node-gyp build --debug` with mutate.cc as its main (build/Debug/fuzz_NAME; no
// clang needed), or for libFuzzer:
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Inative-bindings native-bindings/fuzz/parse_fuzz.cc
//     $(ls native-bindings/{packet,pipeline,pools,ports,tables}/*.cc native-bindings/stages/answers.cc | grep -v
//     packet/parse.cc)
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace headgate::fuzz {

std::vector<std::vector<uint8_t>> seeds();

// One line of what happened so far, for the driver to print at the end.
std::string summary();

// An invariant does not hold: says so and aborts, so that drivers and sanitizers stop at the input.
[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "invariant broken: %s\n", what.c_str());
  std::abort();
}

// Takes an input apart, byte by byte; zero behind its end.
class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  uint8_t byte() { return at_ < end_ ? *at_++ : 0; }
  uint16_t word() { return static_cast<uint16_t>(byte() | byte() << 8); }
  uint32_t below(uint32_t n) { return byte() % n; }
  bool empty() const { return at_ == end_; }
  std::vector<uint8_t> take(size_t size) {
    if (size > static_cast<size_t>(end_ - at_)) size = static_cast<size_t>(end_ - at_);
    std::vector<uint8_t> bytes(at_, at_ + size);
    at_ += size;
    return bytes;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace headgate::fuzz
