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
  uint32_t old = root_;
  if (!old) range = {0, Map::kLast};
  root_ = arena_.allocate(kArrayBytes);
  uint32_t* top = arena_.at<uint32_t>(root_);
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t first = byte << 24, last = first | 0xffffff;
    uint32_t was = old ? arena_.at<uint32_t>(old)[byte] : kLeaf;
    top[byte] = last < range.first || range.last < first ? was : make_second(map, first, was, range);
  }
  if (old) arena_.retire(old, kArrayBytes);
}

// The value for the 2^24 keys from `key` on; `old` is what stood there.
uint32_t ClassTrie::make_second(const Map& map, uint32_t key, uint32_t old, KeyRange<uint32_t> range) {
  ClassId id;
  if (uniform(map, key, key | 0xffffff, id)) {
    drop(old, 24);
    return kLeaf | id;
  }
  uint32_t node = arena_.allocate(kArrayBytes);
  uint32_t* values = arena_.at<uint32_t>(node);
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t first = key | byte << 16, last = first | 0xffff;
    uint32_t was = old & kLeaf ? old : arena_.at<uint32_t>(old)[byte];
    values[byte] = last < range.first || range.last < first ? was : make_node(map, first, 16, was, range);
  }
  if (!(old & kLeaf)) arena_.retire(old, kArrayBytes);
  return node;
}

// The value for the 2^bits keys from `key` on.
uint32_t ClassTrie::make_node(const Map& map, uint32_t key, unsigned bits, uint32_t old, KeyRange<uint32_t> range) {
  uint32_t last_key = static_cast<uint32_t>(key + ((uint64_t{1} << bits) - 1));
  ClassId id;
  if (uniform(map, key, last_key, id)) {
    drop(old, bits);
    return kLeaf | id;
  }
  uint32_t values[256];
  unsigned below = bits - 8;
  size_t run = map.run_of(key);
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t first = key | byte << below, last = static_cast<uint32_t>(first + ((uint64_t{1} << below) - 1));
    if (below == 0) {
      while (map.last_of(run) < first) ++run;
      values[byte] = kLeaf | map.runs()[run].id;
      continue;
    }
    uint32_t was = old & kLeaf ? old : value_of(old, byte);
    values[byte] = last < range.first || range.last < first ? was : make_node(map, first, below, was, range);
  }
  if (!(old & kLeaf)) arena_.retire(old, Node::bytes(arena_.at<Node>(old)->count));
  return compress(values);
}

uint32_t ClassTrie::compress(const uint32_t (&values)[256]) {
  uint32_t count = 1;
  for (int i = 1; i < 256; ++i) count += values[i] != values[i - 1];
  uint32_t offset = arena_.allocate(Node::bytes(count));
  Node& node = *arena_.at<Node>(offset);
  auto* out = const_cast<uint32_t*>(node.values());
  node.count = count;
  uint32_t at = 0;
  for (uint32_t i = 0; i < 256; ++i) {
    if (i % 64 == 0) node.before[i / 64] = static_cast<uint8_t>(at);
    if (i > 0 && values[i] == values[i - 1]) continue;
    node.starts[i / 64] |= uint64_t{1} << (i % 64);
    out[at++] = values[i];
  }
  return offset;
}

uint32_t ClassTrie::value_of(uint32_t node, uint32_t byte) const {
  return step(arena_.base(), root_, node, byte);
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
