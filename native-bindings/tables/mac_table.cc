#include "tables/mac_table.h"

namespace headgate {
namespace {

uint64_t word_of(uint64_t key, uint32_t workload, bool pinned) {
  return key | (workload + 1) << 1 | (pinned ? 1u : 0u);
}
uint64_t mac_part(uint64_t word) {
  return word & ~0xffffull;
}

}  // namespace

MacTable::Learned MacTable::learn(const uint8_t* mac, uint32_t workload, uint32_t now, uint32_t most) {
  uint64_t key = key_of(mac), wanted = word_of(key, workload, false);
  uint32_t slot = slot_of(key);
  Entry* room = nullptr;
  uint64_t room_word = 0;
  for (uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries_[(slot + i) % kSlots];
    uint64_t word = entry.word.load(std::memory_order_relaxed);
    if (mac_part(word) == key && word) {
      if (word & 1) return workload_of(word) == workload ? Learned::kYes : Learned::kPinnedElsewhere;
      if (entry.seen.load(std::memory_order_relaxed) != now) entry.seen.store(now, std::memory_order_relaxed);
      if (word != wanted) entry.word.compare_exchange_strong(word, wanted, std::memory_order_relaxed);
      return Learned::kYes;
    }
    if (!room && (word == 0 || stale(entry, word, now))) {
      room = &entry;
      room_word = word;
    }
  }
  if (!room || learned_by(workload, now) >= most) return Learned::kNoRoom;
  room->seen.store(now, std::memory_order_relaxed);
  // Where another worker was faster, the next frame learns.
  room->word.compare_exchange_strong(room_word, wanted, std::memory_order_relaxed);
  return Learned::kYes;
}

// A walk over the table; only a MAC that is new to it pays.
uint32_t MacTable::learned_by(uint32_t workload, uint32_t now) const {
  uint32_t count = 0;
  for (uint32_t i = 0; i < kSlots; ++i) {
    uint64_t word = entries_[i].word.load(std::memory_order_relaxed);
    count += word && !(word & 1) && workload_of(word) == workload && !stale(entries_[i], word, now);
  }
  return count;
}

std::optional<Mac> MacTable::last_of(uint32_t workload, uint32_t now) const {
  std::optional<Mac> mac;
  uint32_t least = UINT32_MAX;
  for (uint32_t i = 0; i < kSlots; ++i) {
    const uint64_t word = entries_[i].word.load(std::memory_order_relaxed);
    if (!word || workload_of(word) != workload || stale(entries_[i], word, now)) continue;
    const uint32_t idle = word & 1 ? 0 : now - entries_[i].seen.load(std::memory_order_relaxed);
    if (idle >= least) continue;
    least = idle;
    const uint64_t number = word >> 16;
    memcpy(mac.emplace().data(), &number, 6);
  }
  return mac;
}

bool MacTable::pin(const Mac& mac, uint32_t workload) {
  uint64_t key = key_of(mac.data());
  uint32_t slot = slot_of(key);
  Entry* room = nullptr;
  for (uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries_[(slot + i) % kSlots];
    uint64_t word = entry.word.load(std::memory_order_relaxed);
    if (word && mac_part(word) == key) {
      room = &entry;
      break;
    }
    if (!room && !(word & 1)) room = &entry;
  }
  if (!room) return false;
  const uint64_t pinned = word_of(key, workload, true);
  // An engine that follows another finds it there, while that still uses the table.
  if (room->word.load(std::memory_order_relaxed) != pinned) room->word.store(pinned, std::memory_order_relaxed);
  return true;
}

void MacTable::forget(uint32_t workload) {
  retain([workload](uint32_t other) { return other != workload; });
}

}  // namespace headgate
