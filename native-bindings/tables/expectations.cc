#include "tables/expectations.h"

#include <bit>
#include <cstring>

#include "packet/hash.h"

namespace headgate {
namespace {

bool fits(const Expected& a, const Expected& b) {
  return a.destination_port == b.destination_port && a.tracker == b.tracker && a.protocol == b.protocol &&
         a.source == b.source && a.destination == b.destination;
}

}  // namespace

Expectations::Expectations(uint8_t* memory, uint64_t secret)
    : memory_(memory, kBytes), head_(memory_.at<Head>()), entries_(memory_.at<Entry>(sizeof(Head))), secret_(secret) {}

void Expectations::recover() {
  for (size_t i = 0; i < kBuckets * kBucketSize; ++i)
    if (entries_[i].version & 1) memset(static_cast<void*>(&entries_[i]), 0, sizeof entries_[i]);
}

Expectations::Entry* Expectations::bucket_of(const Address& client, uint16_t tracker) const {
  return &entries_[hash_flow(client, tracker, {}, 0, 0, secret_) % kBuckets * kBucketSize];
}

// Absent while another worker writes it for longer than that takes. The version is that of what was read.
std::optional<Expectations::Content> Expectations::read(const Entry& entry, uint32_t& version) {
  constexpr int kMostTries = 100;
  for (int tries = 0; tries < kMostTries; ++tries)
    if (const auto content = try_read(entry, version)) return content;
  return {};
}

std::optional<Expectations::Content> Expectations::try_read(const Entry& entry, uint32_t& version) {
  version = entry.version.load(std::memory_order_acquire);
  if (version & 1) return {};
  std::array<uint64_t, kWords> words;
  for (size_t i = 0; i < kWords; ++i) words[i] = entry.words[i].load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (entry.version.load(std::memory_order_relaxed) != version) return {};
  Content content{};
  memcpy(static_cast<void*>(&content), words.data(), sizeof content);
  return content;
}

// False when another worker was faster.
bool Expectations::write(Entry& entry, uint32_t version, const Content& content) {
  static_assert(sizeof(Content) <= kWords * sizeof(uint64_t));
  if (!entry.version.compare_exchange_strong(version, version + 1, std::memory_order_acq_rel)) return false;
  std::atomic_thread_fence(std::memory_order_release);
  std::array<uint64_t, kWords> words{};
  memcpy(words.data(), &content, sizeof content);
  for (size_t i = 0; i < kWords; ++i) entry.words[i].store(words[i], std::memory_order_relaxed);
  entry.version.store(version + 2, std::memory_order_release);
  return true;
}

// Before the first of a time: nobody has swept up meanwhile.
void Expectations::forget_past(uint32_t now) {
  for (size_t i = 0; i < kBuckets * kBucketSize; ++i) {
    uint32_t version;
    const auto held = read(entries_[i], version);
    if (held && held->used && !is_waiting(held->expires, now)) write(entries_[i], version, {});
  }
}

bool Expectations::add(const Expected& what, const Parent& parent, uint32_t now) {
  if (!any(now)) forget_past(now);
  const Content content{what, parent, now + kLifetime, true};
  bool full = false;
  while (!full)
    if (try_add(content, now, full)) {
      head_->last.store(content.expires, std::memory_order_release);
      return true;
    }
  return false;
}

// False without being full: another worker was faster.
bool Expectations::try_add(const Content& content, uint32_t now, bool& full) {
  // The client of an announced connection is the one of its parent.
  const Expected& what = content.what;
  Entry* const bucket = bucket_of(content.parent.turned ? what.destination : what.source, what.tracker);
  Entry* room = nullptr;
  uint32_t room_version = 0;
  for (size_t i = 0; i < kBucketSize; ++i) {
    uint32_t version;
    const auto held = read(bucket[i], version);
    if (!held) continue;
    const bool waits = held->used && is_waiting(held->expires, now);
    const bool same = waits && fits(held->what, what);
    if (!same && (room || waits)) continue;
    room = &bucket[i];
    room_version = version;
    if (same) break;
  }
  full = !room;
  return room && write(*room, room_version, content);
}

std::optional<Parent> Expectations::take(const Expected& what, uint32_t now) {
  Entry* const first = bucket_of(what.source, what.tracker);
  if (const auto parent = take(first, what, now)) return parent;
  Entry* const second = bucket_of(what.destination, what.tracker);
  return first == second ? std::nullopt : take(second, what, now);
}

std::optional<Parent> Expectations::take(Entry* bucket, const Expected& what, uint32_t now) {
  for (size_t i = 0; i < kBucketSize; ++i) {
    uint32_t version;
    const auto held = read(bucket[i], version);
    if (!held || !held->used || !is_waiting(held->expires, now) || !fits(held->what, what)) continue;
    if (write(bucket[i], version, {})) return held->parent;
  }
  return {};
}

}  // namespace headgate
