// The linear scan as a peer and as a judge: rules one after the other, eight at a time with AVX2 where there is it.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/tuples.h"

namespace headgate::bench {

class Linear {
 public:
  // The rules that `which` names, the lowest number first in priority.
  Linear(const std::vector<Tuple>& rules, const std::vector<uint32_t>& which);

  // The number of the first rule that matches plus one, or 0.
  uint32_t classify(const Header& header) const;

 private:
  static constexpr size_t kLanes = 8;
  typedef uint32_t Lanes __attribute__((vector_size(kLanes * 4)));
  struct Block {
    Lanes low[5], high[5];
  };
  std::vector<Block> blocks_;
  std::vector<uint32_t> which_;
};

}  // namespace headgate::bench
