// A rate limit: `rate` tokens a second, at most `burst` saved up. Time is an argument, in milliseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace headgate {

class TokenBucket {
 public:
  TokenBucket(uint32_t rate, uint32_t burst) : rate_(rate), burst_(burst), milli_tokens_(uint64_t{burst} * 1000) {}

  bool take(uint32_t now) {
    milli_tokens_ = std::min<uint64_t>(uint64_t{burst_} * 1000, milli_tokens_ + uint64_t{now - last_} * rate_);
    last_ = now;
    if (milli_tokens_ < 1000) return false;
    milli_tokens_ -= 1000;
    return true;
  }

 private:
  uint32_t rate_;
  uint32_t burst_;
  uint32_t last_ = 0;
  uint64_t milli_tokens_;
};

}  // namespace headgate
