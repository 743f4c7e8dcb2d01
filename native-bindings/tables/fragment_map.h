// Which parts of one fragmented datagram have come: two bits for each 8 bytes, the unit that fragments are cut at. So
// any number of fragments, however small, takes the same room and none needs a search.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace headgate {

class FragmentMap {
 public:
  enum class Part : uint8_t {
    kNew,
    kDuplicate,  // the same bytes as those of one fragment that has come
    kOverlap,    // some of the bytes have come, and are not just one other fragment
    kWrongEnd,   // it contradicts the others about where the datagram ends
  };

  // Notes a fragment of `length` bytes, not 0, up to 64 KiB in all; `more`: it is not the last. Only kNew changes it.
  Part add(uint32_t offset, uint32_t length, bool more) {
    const uint32_t end = offset + length;
    if (contradicts(end, more)) return Part::kWrongEnd;
    const Range range{offset / 8, (end + 7) / 8};
    const uint32_t covered = count(covered_, range);
    if (covered) return covered == range.size() && is_one(range) ? Part::kDuplicate : Part::kOverlap;
    for_words(range, [&](uint32_t word, uint64_t mask) { covered_[word] |= mask; });
    starts_[range.from / 64] |= bit(range.from);
    blocks_ += range.size();
    if (end > end_) end_ = end;
    ended_ |= !more;
    return Part::kNew;
  }

  bool complete() const { return ended_ && blocks_ == (end_ + 7) / 8; }

  void clear() {
    for (uint32_t word = 0; word * 512 < end_; ++word) covered_[word] = starts_[word] = 0;
    end_ = blocks_ = 0;
    ended_ = false;
  }

 private:
  static constexpr uint32_t kWords = 65536 / 8 / 64;
  using Words = std::array<uint64_t, kWords>;

  // Blocks of 8 bytes, at least one.
  struct Range {
    uint32_t from, to;
    uint32_t size() const { return to - from; }
  };

  static uint64_t bit(uint32_t block) { return uint64_t{1} << block % 64; }

  static void for_words(Range range, auto&& act) {
    const uint32_t last = (range.to - 1) / 64;
    for (uint32_t word = range.from / 64; word <= last; ++word) {
      uint64_t mask = ~uint64_t{0};
      if (word == range.from / 64) mask &= ~uint64_t{0} << range.from % 64;
      if (word == last) mask &= ~uint64_t{0} >> (63 - (range.to - 1) % 64);
      act(word, mask);
    }
  }

  static uint32_t count(const Words& words, Range range) {
    int sum = 0;
    for_words(range, [&](uint32_t word, uint64_t mask) { sum += std::popcount(words[word] & mask); });
    return static_cast<uint32_t>(sum);
  }

  bool contradicts(uint32_t end, bool more) const {
    if (ended_) return more ? end >= end_ : end != end_;
    return !more && end <= end_;
  }

  // Whether the range, all of which has come, came as one fragment.
  bool is_one(Range range) const {
    const bool begins = starts_[range.from / 64] & bit(range.from);
    const uint32_t after = range.to;
    const bool ends = after * 8 >= end_ || !(covered_[after / 64] & bit(after)) || (starts_[after / 64] & bit(after));
    return begins && count(starts_, range) == 1 && ends;
  }

  Words covered_{};
  Words starts_{};       // the first block of each fragment
  uint32_t end_ = 0;     // of what has come, in bytes
  uint32_t blocks_ = 0;  // that have come
  bool ended_ = false;   // the last fragment has come, so end_ is the datagram's
};

}  // namespace headgate
