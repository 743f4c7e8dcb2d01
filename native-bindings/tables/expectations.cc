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

bool is_past(uint32_t expires, uint32_t now) {
  return static_cast<int32_t>(expires - now) <= 0;
}

}  // namespace

Expectations::Expectations(uint8_t* memory, uint64_t secret)
    : memory_(memory, kBytes), head_(memory_.at<Head>()), entries_(memory_.at<Entry>(sizeof(Head))), secret_(secret) {}

void Expectations::recover() {
  for (size_t i = 0; i < kBuckets * kBucketSize; ++i)
    if (entries_[i].version & 1) memset(static_cast<void*>(&entries_[i]), 0, sizeof entries_[i]);
}

Expectations::Entry* Expectations::bucket_of(const Expected& what) const {
  const uint64_t hash = hash_flow(what.source, 0, what.destination, 0, what.protocol, secret_);
  return &entries_[hash % kBuckets * kBucketSize];
}

// Absent while another worker writes it. The version is that of what was read.
std::optional<Expectations::Content> Expectations::read(const Entry& entry, uint32_t& version) {
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

bool Expectations::add(const Expected& what, const Parent& parent, uint32_t now) {
  const Content content{what, parent, now + kLifetime, true};
  Entry* const bucket = bucket_of(what);
  Entry* room = nullptr;
  uint32_t room_version = 0;
  for (size_t i = 0; i < kBucketSize; ++i) {
    uint32_t version;
    const auto held = read(bucket[i], version);
    if (!held) continue;
    const bool same = held->used && fits(held->what, what);
    if (!same && (room || (held->used && !is_past(held->expires, now)))) continue;
    room = &bucket[i];
    room_version = version;
    if (same) break;
  }
  if (!room || !write(*room, room_version, content)) return false;
  head_->last.store(content.expires, std::memory_order_release);
  return true;
}

std::optional<Parent> Expectations::take(const Expected& what, uint32_t now) {
  Entry* const bucket = bucket_of(what);
  for (size_t i = 0; i < kBucketSize; ++i) {
    uint32_t version;
    const auto held = read(bucket[i], version);
    if (!held || !held->used || is_past(held->expires, now) || !fits(held->what, what)) continue;
    if (write(bucket[i], version, {})) return held->parent;
  }
  return {};
}

}  // namespace headgate
