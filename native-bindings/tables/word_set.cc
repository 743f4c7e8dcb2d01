#include "tables/word_set.h"

#include <utility>

namespace headgate {

std::vector<SlotWord> words_of(std::vector<uint32_t> slots) {
  std::sort(slots.begin(), slots.end());
  std::vector<SlotWord> words;
  for (uint32_t slot : slots) {
    if (words.empty() || words.back().index != slot >> 6) words.push_back({slot >> 6, 0});
    words.back().bits |= uint64_t{1} << (slot & 63);
  }
  return words;
}

std::vector<SlotWord> WordGatherer::take() {
  std::sort(touched_.begin(), touched_.end());
  std::vector<SlotWord> words;
  words.reserve(touched_.size());
  for (uint32_t word : touched_) words.push_back({word, std::exchange(bits_[word], 0)});
  touched_.clear();
  return words;
}

namespace word_set {
namespace {

std::vector<SlotWord> list(const Arena& arena, uint32_t set) {
  std::vector<SlotWord> words;
  if (set) arena.at<WordSet>(set)->each([&](uint32_t index, uint64_t bits) { words.push_back({index, bits}); });
  return words;
}

std::vector<SlotWord> changed(const std::vector<SlotWord>& old, std::span<const SlotWord> words, bool on) {
  std::vector<SlotWord> now;
  now.reserve(old.size() + words.size());
  size_t i = 0;
  for (const SlotWord& word : words) {
    for (; i < old.size() && old[i].index < word.index; ++i) now.push_back(old[i]);
    uint64_t was = i < old.size() && old[i].index == word.index ? old[i++].bits : 0;
    uint64_t bits = on ? was | word.bits : was & ~word.bits;
    if (bits) now.push_back({word.index, bits});
  }
  now.insert(now.end(), old.begin() + static_cast<std::ptrdiff_t>(i), old.end());
  return now;
}

}  // namespace

uint32_t make(Arena& arena, std::span<const SlotWord> words) {
  if (words.empty()) return 0;
  uint32_t chunks = (words.back().index >> 6) + 1;
  uint32_t count = static_cast<uint32_t>(words.size());
  uint32_t offset = arena.allocate(WordSet::bytes(chunks, count));
  WordSet& set = *arena.at<WordSet>(offset);
  set.chunks = chunks;
  set.count = count;
  auto* presence = const_cast<uint64_t*>(set.presence());
  auto* ranks = const_cast<uint32_t*>(set.ranks());
  for (uint32_t i = 0; i < count; ++i) {
    presence[words[i].index >> 6] |= uint64_t{1} << (words[i].index & 63);
    set.words()[i] = words[i].bits;
  }
  for (uint32_t chunk = 1; chunk < chunks; ++chunk)
    ranks[chunk] = ranks[chunk - 1] + static_cast<uint32_t>(std::popcount(presence[chunk - 1]));
  return offset;
}

void drop(Arena& arena, uint32_t set) {
  if (!set) return;
  const WordSet& s = *arena.at<WordSet>(set);
  arena.retire(set, WordSet::bytes(s.chunks, s.count));
}

uint32_t set_bit(Arena& arena, uint32_t set, uint32_t slot) {
  uint64_t bit = uint64_t{1} << (slot & 63);
  if (uint64_t* word = find(arena, set, slot >> 6)) {
    set_bits(*word, bit);
    return set;
  }
  std::vector<SlotWord> words = list(arena, set);
  auto place = std::lower_bound(words.begin(), words.end(), slot >> 6,
                                [](const SlotWord& word, uint32_t index) { return word.index < index; });
  words.insert(place, {slot >> 6, bit});
  drop(arena, set);
  return make(arena, words);
}

uint32_t clear_bit(Arena& arena, uint32_t set, uint32_t slot) {
  uint64_t bit = uint64_t{1} << (slot & 63);
  uint64_t* word = find(arena, set, slot >> 6);
  if (!word) return set;
  if (*word != bit) {
    clear_bits(*word, bit);
    return set;
  }
  std::vector<SlotWord> words = list(arena, set);
  std::erase_if(words, [&](const SlotWord& w) { return w.index == slot >> 6; });
  drop(arena, set);
  return make(arena, words);
}

uint32_t make_with(Arena& arena, uint32_t set, std::span<const SlotWord> words) {
  return make(arena, changed(list(arena, set), words, true));
}

uint32_t set_all(Arena& arena, uint32_t set, std::span<const SlotWord> words, bool on) {
  std::vector<SlotWord> now = changed(list(arena, set), words, on);
  drop(arena, set);
  return make(arena, now);
}

}  // namespace word_set
}  // namespace headgate
