#include "tables/class_trie.h"

namespace headgate {
namespace {

constexpr size_t kArrayBytes = 256 * sizeof(uint32_t);

// The only class of the keys in [first, last], or none.
bool uniform(const ClassMap<uint32_t>& map, uint32_t first, uint32_t last, ClassId& id) {
  size_t run = map.run_of(first);
  id = map.runs()[run].id;
  return map.last_of(run) >= last;
}

}  // namespace

void ClassTrie::update(const Map& map, KeyRange<uint32_t> range) {
  const uint32_t old = root_;
  root_ = arena_.allocate(kArrayBytes);
  uint32_t* top = arena_.at<uint32_t>(root_);
  if (old)
    std::copy_n(arena_.at<uint32_t>(old), 256, top);
  else
    std::fill_n(top, 256, kLeaf), range = {0, Map::kLast};
  for (uint32_t byte = range.first >> 24; byte <= range.last >> 24; ++byte)
    top[byte] = make_second(map, byte << 24, top[byte], range);
  if (old) arena_.retire(old, kArrayBytes);
}

// The value for the 2^24 keys from `key` on, some of which are in the range; `old` is what stood there.
uint32_t ClassTrie::make_second(const Map& map, uint32_t key, uint32_t old, KeyRange<uint32_t> range) {
  const uint32_t last_key = key | 0xffffff;
  ClassId id;
  if (uniform(map, key, last_key, id)) {
    drop(old, 24);
    return kLeaf | id;
  }
  uint32_t node = arena_.allocate(kArrayBytes);
  uint32_t* values = arena_.at<uint32_t>(node);
  if (old & kLeaf)
    std::fill_n(values, 256, old);
  else
    std::copy_n(arena_.at<uint32_t>(old), 256, values);
  const uint32_t end = std::min(last_key, range.last) >> 16 & 255;
  for (uint32_t byte = std::max(key, range.first) >> 16 & 255; byte <= end; ++byte)
    values[byte] = make_node(map, key | byte << 16, 16, values[byte], range);
  if (!(old & kLeaf)) arena_.retire(old, kArrayBytes);
  return node;
}

// The value for the 2^bits keys from `key` on, some of which are in the range.
uint32_t ClassTrie::make_node(const Map& map, uint32_t key, unsigned bits, uint32_t old, KeyRange<uint32_t> range) {
  const uint32_t last_key = static_cast<uint32_t>(key + ((uint64_t{1} << bits) - 1));
  ClassId id;
  if (uniform(map, key, last_key, id)) {
    drop(old, bits);
    return kLeaf | id;
  }
  uint32_t values[256];
  if (bits == 8) {
    for (size_t run = map.run_of(key); run < map.runs().size() && map.runs()[run].first <= last_key; ++run)
      std::fill(values + (std::max(map.runs()[run].first, key) - key),
                values + (std::min(map.last_of(run), last_key) - key) + 1, kLeaf | map.runs()[run].id);
  } else {
    expand(old, values);
    const uint32_t end = std::min(last_key, range.last) >> 8 & 255;
    for (uint32_t byte = std::max(key, range.first) >> 8 & 255; byte <= end; ++byte)
      values[byte] = make_node(map, key | byte << 8, 8, values[byte], range);
  }
  if (!(old & kLeaf)) arena_.retire(old, Node::bytes(arena_.at<Node>(old)->count));
  return compress(values);
}

void ClassTrie::expand(uint32_t value, uint32_t (&values)[256]) const {
  if (value & kLeaf) return void(std::fill_n(values, 256, value));
  const Node& node = *arena_.at<Node>(value);
  const uint32_t* next = node.values();
  for (uint32_t i = 0; i < 256; ++i) {
    next += node.starts[i / 64] >> (i % 64) & 1;
    values[i] = next[-1];
  }
}

uint32_t ClassTrie::compress(const uint32_t (&values)[256]) {
  Node made{};
  uint32_t kept[256];
  for (uint32_t word = 0; word < 4; ++word) {
    uint64_t starts = word == 0;
    for (uint32_t bit = word == 0; bit < 64; ++bit)
      starts |= uint64_t{values[word * 64 + bit] != values[word * 64 + bit - 1]} << bit;
    made.starts[word] = starts;
    made.before[word] = static_cast<uint8_t>(made.count);
    for (; starts; starts &= starts - 1)
      kept[made.count++] = values[word * 64 + static_cast<uint32_t>(std::countr_zero(starts))];
  }
  uint32_t offset = arena_.allocate(Node::bytes(made.count));
  Node& node = *arena_.at<Node>(offset);
  node = made;
  std::copy_n(kept, made.count, const_cast<uint32_t*>(node.values()));
  return offset;
}

// Retires what hangs below a value for 2^bits keys.
void ClassTrie::drop(uint32_t value, unsigned bits) {
  if (value & kLeaf) return;
  if (bits == 24) {
    for (uint32_t byte = 0; byte < 256; ++byte) drop(arena_.at<uint32_t>(value)[byte], 16);
    arena_.retire(value, kArrayBytes);
    return;
  }
  const Node& node = *arena_.at<Node>(value);
  if (bits == 16)
    for (uint32_t i = 0; i < node.count; ++i) drop(node.values()[i], 8);
  arena_.retire(value, Node::bytes(node.count));
}

}  // namespace headgate
