// Sparse bitmaps over slots, as packet threads read them: words of 64 bits, of which only those that are not zero are
// kept. A directory of presence bits, one a word, and ranks finds a word in two loads (rank and select as in Jacobson,
// "Space-efficient static trees and graphs", 1989).
//
// A bit is set in place where its word is there already: readers may see it at any time, so only bits that mean nothing
// yet may be set (classifier.h). A new word takes a new copy.
#pragma once

#include <atomic>
#include <bit>
#include <span>

#include "tables/arena.h"

namespace headgate {

struct SlotWord {
  uint32_t index;
  uint64_t bits;
};

// In the arena: this header, then presence[chunks], ranks[chunks] (of 4 bytes), words[count] and a spare one.
struct WordSet {
  uint32_t chunks;
  uint32_t count;

  const uint64_t* presence() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  const uint32_t* ranks() const { return reinterpret_cast<const uint32_t*>(presence() + chunks); }
  uint64_t* words() const { return const_cast<uint64_t*>(presence()) + chunks + (chunks + 1) / 2; }
  static size_t bytes(uint32_t chunks, uint32_t count) {
    return sizeof(WordSet) + 8 * (size_t{chunks} + (chunks + 1) / 2 + count + 1);
  }

  // For many reads of one set.
  struct View {
    const uint64_t* presence;
    const uint32_t* ranks;
    const uint64_t* words;
    uint32_t chunks;

    explicit View(const WordSet& set)
        : presence(set.presence()), ranks(set.ranks()), words(set.words()), chunks(set.chunks) {}

    [[gnu::always_inline]] uint64_t operator[](uint32_t index) const {
      uint32_t chunk = index >> 6;
      if (chunk >= chunks) [[unlikely]]
        return 0;
      uint64_t from_here = presence[chunk] >> (index & 63);
      uint64_t after = (presence[chunk] ^ from_here << (index & 63));
      uint64_t word = words[ranks[chunk] + static_cast<uint32_t>(std::popcount(after))];
      return from_here & 1 ? word : 0;
    }
  };
  uint64_t operator[](uint32_t index) const { return View(*this)[index]; }

  // visit(index, bits) in the order of index.
  template <class Visit>
  void each(Visit visit) const {
    const uint64_t* word = words();
    for (uint32_t chunk = 0; chunk < chunks; ++chunk)
      for (uint64_t present = presence()[chunk]; present; present &= present - 1)
        visit(chunk << 6 | static_cast<uint32_t>(std::countr_zero(present)), *word++);
  }
};

// The builder's side. A set is named by its offset in the arena; 0 is the empty set.
namespace word_set {

// Null where the word is zero.
inline uint64_t* find(const Arena& arena, uint32_t set, uint32_t index) {
  const WordSet& s = *arena.at<WordSet>(set);
  const uint32_t chunk = index >> 6;
  if (chunk >= s.chunks || !(s.presence()[chunk] >> (index & 63) & 1)) return nullptr;
  const uint64_t before = s.presence()[chunk] & ((uint64_t{1} << (index & 63)) - 1);
  return s.words() + s.ranks()[chunk] + std::popcount(before);
}
uint32_t make(Arena& arena, std::span<const SlotWord> words);  // in the order of index, none zero
void drop(Arena& arena, uint32_t set);
// Both give the offset to use from now on: another one where the set had to be copied.
uint32_t set_bit(Arena& arena, uint32_t set, uint32_t slot);
uint32_t clear_bit(Arena& arena, uint32_t set, uint32_t slot);
// A copy with these bits too; the old one stays.
uint32_t make_with(Arena& arena, uint32_t set, std::span<const SlotWord> words);
// A copy with these bits, or without them; the old one is retired.
uint32_t set_all(Arena& arena, uint32_t set, std::span<const SlotWord> words, bool on);

}  // namespace word_set

// By the only thread that writes: readers see the word before or behind.
inline void set_bits(uint64_t& word, uint64_t bits) {
  std::atomic_ref(word).store(word | bits, std::memory_order_relaxed);
}
inline void clear_bits(uint64_t& word, uint64_t bits) {
  std::atomic_ref(word).store(word & ~bits, std::memory_order_relaxed);
}

// Words from slots in any order.
std::vector<SlotWord> words_of(std::vector<uint32_t> slots);

// The same for slots that come one by one and more than once, without sorting them.
class WordGatherer {
 public:
  void add(uint32_t slot) {
    if (slot >> 6 >= bits_.size()) bits_.resize((slot >> 6) * 2 + 1);
    if (!bits_[slot >> 6]) touched_.push_back(slot >> 6);
    bits_[slot >> 6] |= uint64_t{1} << (slot & 63);
  }
  // Those added since the last call.
  std::vector<SlotWord> take();

 private:
  std::vector<uint64_t> bits_;  // by word
  std::vector<uint32_t> touched_;
};

}  // namespace headgate
