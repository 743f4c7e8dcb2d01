// Reads the class of a 32-bit key (an IPv4 address, a port) in four steps of 8 bits. The first two are plain arrays,
// the last two keep only where a run of equal values begins (poptrie: Asai and Ohara, SIGCOMM 2015). A value is a
// class, or the node below; classes pass through the remaining steps unchanged, so the walk has no branches.
//
// Nodes lie in an arena and are never changed once readers may see them: an edit makes the nodes on its way anew and
// gives a new root.
#pragma once

#include <bit>
#include <span>

#include "tables/arena.h"
#include "tables/class_map.h"

namespace headgate {

class ClassTrie {
 public:
  explicit ClassTrie(Arena& arena) : arena_(arena) {}

  // Makes what lies in the range anew from the map; everything the first time.
  void update(const ClassMap<uint32_t>& map, KeyRange<uint32_t> range);
  uint32_t root() const { return root_; }

  static ClassId find(const uint8_t* arena, uint32_t root, uint32_t key) {
    uint32_t value = first_step(arena, root, key >> 24);
    value = second_step(arena, root, value, key >> 16 & 255);
    value = step(arena, root, value, key >> 8 & 255);
    value = step(arena, root, value, key & 255);
    return value & ~kLeaf;
  }

  // ids[i] = find(keys[i]), all keys step by step together: while one waits for memory, the others go on.
  static void find_all(const uint8_t* arena, uint32_t root, std::span<const uint32_t> keys, ClassId* ids) {
    for (size_t i = 0; i < keys.size(); ++i) {
      ids[i] = first_step(arena, root, keys[i] >> 24);
      const uint32_t* second = reinterpret_cast<const uint32_t*>(place(arena, root, ids[i]));
      __builtin_prefetch(second + (keys[i] >> 16 & 255));
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      ids[i] = second_step(arena, root, ids[i], keys[i] >> 16 & 255);
      __builtin_prefetch(place(arena, root, ids[i]));
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      ids[i] = step(arena, root, ids[i], keys[i] >> 8 & 255);
      __builtin_prefetch(place(arena, root, ids[i]));
    }
    for (size_t i = 0; i < keys.size(); ++i) ids[i] = step(arena, root, ids[i], keys[i] & 255) & ~kLeaf;
  }

 private:
  static constexpr uint32_t kLeaf = 1u << 31;
  // A compressed node; the values stand behind it.
  struct Node {
    uint64_t starts[4];  // bit i: a run begins at i
    uint8_t before[4];   // runs that begin in the words before
    uint32_t count;
    const uint32_t* values() const { return reinterpret_cast<const uint32_t*>(this + 1); }
    static size_t bytes(uint32_t count) { return sizeof(Node) + 4 * size_t{count}; }
  };

  // Where the node of that value is. A class has none: it reads from the root instead, and what it reads is not used.
  static const uint8_t* place(const uint8_t* arena, uint32_t root, uint32_t value) {
    return arena + size_t{value & kLeaf ? root : value} * Arena::kUnit;
  }
  static uint32_t first_step(const uint8_t* arena, uint32_t root, uint32_t byte) {
    return reinterpret_cast<const uint32_t*>(place(arena, root, root))[byte];
  }
  static uint32_t second_step(const uint8_t* arena, uint32_t root, uint32_t value, uint32_t byte) {
    uint32_t below = reinterpret_cast<const uint32_t*>(place(arena, root, value))[byte];
    return value & kLeaf ? value : below;
  }
  static uint32_t step(const uint8_t* arena, uint32_t root, uint32_t value, uint32_t byte) {
    const Node& node = *reinterpret_cast<const Node*>(place(arena, root, value));
    uint32_t word = byte >> 6;
    uint64_t upto = node.starts[word] & (~uint64_t{0} >> (63 - (byte & 63)));
    uint32_t place = node.before[word] + static_cast<uint32_t>(std::popcount(upto)) - 1;
    uint32_t below = node.values()[value & kLeaf ? 0 : place];
    return value & kLeaf ? value : below;
  }

  using Map = ClassMap<uint32_t>;
  uint32_t make_second(const Map& map, uint32_t key, uint32_t old, KeyRange<uint32_t> range);
  uint32_t make_node(const Map& map, uint32_t key, unsigned bits, uint32_t old, KeyRange<uint32_t> range);
  uint32_t compress(const uint32_t (&values)[256]);
  void expand(uint32_t value, uint32_t (&values)[256]) const;
  void drop(uint32_t value, unsigned bits);

  Arena& arena_;
  uint32_t root_ = 0;
};

}  // namespace headgate
