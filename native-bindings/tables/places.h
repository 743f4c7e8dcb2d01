// Numbers for what is held, given out densely. One that is given back is used again only after settled(): until then
// somebody may still know it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace headgate {

class Places {
 public:
  // Before the first take(): these are taken already.
  void reserve(std::vector<uint32_t> taken) {
    std::ranges::sort(taken);
    for (uint32_t place : taken) {
      for (; next_ < place; ++next_) free_.push_back(next_);
      next_ = place + 1;
    }
  }
  uint32_t take() {
    if (free_.empty()) return next_++;
    uint32_t place = free_.back();
    free_.pop_back();
    return place;
  }
  void give_back(uint32_t place) { leaving_.push_back(place); }
  void settled() {
    free_.insert(free_.end(), leaving_.begin(), leaving_.end());
    leaving_.clear();
  }

 private:
  uint32_t next_ = 0;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> leaving_;
};

}  // namespace headgate
