#include "bench/linear.h"

namespace headgate::bench {

Linear::Linear(const std::vector<Tuple>& rules, const std::vector<uint32_t>& which) : which_(which) {
  blocks_.resize((which.size() + kLanes - 1) / kLanes);
  for (Block& block : blocks_)  // lanes that stay empty match nothing
    for (int field = 0; field < 5; ++field) block.low[field] = ~Lanes{}, block.high[field] = Lanes{};
  for (size_t i = 0; i < which.size(); ++i)
    for (int field = 0; field < 5; ++field) {
      blocks_[i / kLanes].low[field][i % kLanes] = rules[which[i]].low[field];
      blocks_[i / kLanes].high[field][i % kLanes] = rules[which[i]].high[field];
    }
}

#ifdef __x86_64__
__attribute__((target_clones("avx2", "default")))
#endif
uint32_t
Linear::classify(const Header& header) const {
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    auto match = ~(Lanes{} != Lanes{});
    for (int field = 0; field < 5; ++field) {
      Lanes value = Lanes{} + header.field[field];
      match &= (block.low[field] <= value) & (value <= block.high[field]);
    }
    for (size_t lane = 0; lane < kLanes; lane += 4)
      if (match[lane] | match[lane + 1] | match[lane + 2] | match[lane + 3])
        for (;; ++lane)
          if (match[lane]) return which_[b * kLanes + lane] + 1;
  }
  return 0;
}

}  // namespace headgate::bench
