#include "tables/names.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "packet/hash.h"

namespace headgate {
namespace {

constexpr size_t kKinds = static_cast<size_t>(Names::Kind::kCount);

uint64_t checksum_of(const uint8_t* bytes, size_t count) {
  uint64_t sum = 0x9e3779b97f4a7c15ull ^ count;
  for (; count; bytes += std::min<size_t>(count, 8), count -= std::min<size_t>(count, 8)) {
    uint64_t word = 0;
    memcpy(&word, bytes, std::min<size_t>(count, 8));
    sum = fold_multiply(sum ^ word, 0xd6e8feb86659fd93ull);
  }
  return sum | 1;
}

// Legs are made, and claimed, when the packet path's table of services is: after the first delta.
bool stays(Names::Kind kind) {
  return kind == Names::Kind::kTracker || kind == Names::Kind::kProfile || kind == Names::Kind::kLeg;
}

constexpr size_t padded(size_t bytes) {
  return (bytes + 7) / 8 * 8;
}

}  // namespace

Names::Names(uint8_t* memory, size_t journal_bytes)
    : journal_bytes_(journal_bytes), memory_(memory, 4096 + 2 * journal_bytes), head_(memory_.at<Head>()) {
  static_assert(sizeof(Head) <= 4096);
  read(former_);
  for (size_t kind = 0; kind < kKinds; ++kind) next_serial_[kind] = std::max(1u, head_->next_serial[kind]);
  for (size_t kind = 0; kind < kKinds; ++kind)
    for (const auto& [name, numbers] : former_[kind])
      next_serial_[kind] = std::max(next_serial_[kind], numbers.serial + 1);
  // Both from one count.
  uint32_t& services = next_serial_[static_cast<int>(Kind::kTag)];
  services = std::max(services, next_serial_[static_cast<int>(Kind::kLeg)]);
  next_epoch_ = head_->next_epoch;
  if (!memory) begin();
}

void Names::begin() {
  owned_ = true;
  if (head_->journal > 1) head_->journal = 0;
  keep_counters();
  for (const Change& change : pending_) write(change.kind, change.name, change.numbers, change.gone);
  pending_.clear();
}

void Names::keep_counters() {
  if (!owned_) return;
  std::copy(std::begin(next_serial_), std::end(next_serial_), head_->next_serial);
  head_->next_epoch = next_epoch_;
}

// Up to the end, or the first entry that does not hold.
void Names::read(Known (&known)[kKinds]) const {
  const uint32_t number = head_->journal;
  if (number > 1) return;
  const uint8_t* at = journal(number);
  const uint8_t* end = at + std::min<uint64_t>(head_->length[number], journal_bytes_);
  while (end - at >= static_cast<ptrdiff_t>(sizeof(Entry))) {
    Entry entry;
    memcpy(&entry, at, sizeof entry);
    const size_t bytes = sizeof entry + entry.length;
    if (end - at < static_cast<ptrdiff_t>(bytes) || entry.kind >= Kind::kCount ||
        entry.checksum != checksum_of(at + sizeof entry.checksum, bytes - sizeof entry.checksum))
      return;
    std::string name(reinterpret_cast<const char*>(at + sizeof entry), entry.length);
    Known& those = known[static_cast<size_t>(entry.kind)];
    if (entry.gone)
      those.erase(name);
    else
      those[std::move(name)] = entry.numbers;
    at += padded(bytes);
  }
}

bool Names::claim(Kind kind, const std::string& name, Numbers& numbers) {
  auto node = former_[static_cast<size_t>(kind)].extract(name);
  if (node.empty()) return false;
  numbers = node.mapped();
  return true;
}

void Names::each_former(Kind kind, const std::function<void(const std::string&, Numbers)>& visit) const {
  for (const auto& [name, numbers] : former_[static_cast<size_t>(kind)]) visit(name, numbers);
}

void Names::forget_former() {
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (stays(static_cast<Kind>(kind))) continue;
    for (const auto& [name, numbers] : former_[kind]) forget(static_cast<Kind>(kind), name);
    former_[kind].clear();
  }
}

void Names::note(Kind kind, std::string_view name, Numbers numbers) {
  write(kind, name, numbers, false);
}

void Names::forget(Kind kind, std::string_view name) {
  write(kind, name, {}, true);
}

void Names::write(Kind kind, std::string_view name, Numbers numbers, bool gone) {
  if (!owned_) {
    pending_.push_back({kind, std::string(name), numbers, gone});
    return;
  }
  if (append(head_->journal, kind, name, numbers, gone)) return;
  switch_journals();
  lost_ += !append(head_->journal, kind, name, numbers, gone);
}

bool Names::append(uint32_t number, Kind kind, std::string_view name, Numbers numbers, bool gone) {
  const uint64_t length = head_->length[number];
  const size_t bytes = sizeof(Entry) + name.size();
  if (name.size() > UINT16_MAX || length + padded(bytes) > journal_bytes_) return false;
  uint8_t* at = journal(number) + length;
  Entry entry{};
  entry.numbers = numbers;
  entry.length = static_cast<uint16_t>(name.size());
  entry.kind = kind;
  entry.gone = gone;
  memcpy(at, &entry, sizeof entry);
  memcpy(at + sizeof entry, name.data(), name.size());
  entry.checksum = checksum_of(at + sizeof entry.checksum, bytes - sizeof entry.checksum);
  memcpy(at, &entry.checksum, sizeof entry.checksum);
  std::atomic_signal_fence(std::memory_order_release);
  head_->length[number] = length + padded(bytes);
  return true;
}

void Names::switch_journals() {
  Known known[kKinds];
  read(known);
  const uint32_t other = 1 - head_->journal;
  head_->length[other] = 0;
  for (size_t kind = 0; kind < kKinds; ++kind)
    for (const auto& [name, numbers] : known[kind]) append(other, static_cast<Kind>(kind), name, numbers, false);
  std::atomic_signal_fence(std::memory_order_release);
  head_->journal = other;
}

}  // namespace headgate
