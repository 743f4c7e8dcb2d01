// ConnectionTable::recover: after a crash, records that make sense are kept and all that is derived is made anew. No
// chain, list or count that the last owner left is followed. In the order in which it happens.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "packet/hash.h"
#include "tables/connections.h"

namespace headgate {
namespace {

constexpr uint32_t kPlacedMask = 0xffffff;
constexpr uint32_t kBlock = 64;

bool in_order(const Connection& c, uint32_t now) {
  const auto behind = [](uint32_t later, uint32_t earlier) { return static_cast<int32_t>(later - earlier) >= 0; };
  return behind(now, c.last_seen) && behind(c.last_seen, c.created);
}

bool has_state(const Connection& c) {
  if (c.protocol == kTcp) return c.tcp.state < TcpState::kCount;
  return c.protocol != kSctp || c.sctp.state < SctpState::kCount;
}

// By list and then by age, the oldest first: a radix sort of the upper half of each word, from its lowest byte up, in
// which those that are alike keep their order (Knuth, TAOCP 3, 5.2.5). A comparing sort takes half of all the time
// here.
void sort_by_age(std::vector<uint64_t>& kept) {
  std::vector<uint64_t> sorted(kept.size());
  for (unsigned shift = 32; shift < 64; shift += 8) {
    const auto digit = [shift](uint64_t one) { return 255 - (one >> shift & 255); };
    std::array<size_t, 257> from{};  // where those of a digit begin
    for (const uint64_t one : kept) ++from[digit(one) + 1];
    for (size_t i = 1; i < from.size(); ++i) from[i] += from[i - 1];
    for (const uint64_t one : kept) sorted[from[digit(one)]++] = one;
    kept.swap(sorted);
  }
}

}  // namespace

bool ConnectionTable::is_right(uint32_t place, const Known& known) const {
  const Connection& c = records_[place];
  if (c.timeout_class() >= TimeoutClass::kCount || !has_state(c)) return false;
  if (c.layer3 != Layer3::kIpv4 && c.layer3 != Layer3::kIpv6) return false;
  if (c.account() >= accounts_.size() || !known.tracker(c.tracker) || !in_order(c, known.now)) return false;
  if (c.service() && !known.service(c.service())) return false;
  return !c.is_ipv6() || c.address_tails == tails_of(pairs_[place].source, pairs_[place].destination);
}

// Whether the chain that has been made so far holds the same flow.
bool ConnectionTable::is_twice(const Connection& c, uint32_t bucket) const {
  for (uint32_t i = buckets_[bucket]; i; i = records_[i].next) {
    const Connection& other = records_[i];
    const bool same = other.key() == c.key() && other.address_tails == c.address_tails;
    if (same && (!c.is_ipv6() || !memcmp(&pairs_[i], &pairs_[place_of(c)], sizeof(Pair)))) return true;
  }
  return false;
}

uint32_t ConnectionTable::recover(const Known& known) {
  const uint32_t end = std::min(head_->high_water, limit_);
  uint32_t forgotten = 0;
  *head_ = {};
  head_->high_water = end;
  head_->profiles = 1;
  memset(buckets_, 0, bucket_count_ * sizeof(uint32_t));
  accounts_.forget_records();
  std::vector<uint64_t> kept;  // list, seconds it has been in its list, place
  kept.reserve(end);
  // In blocks, each looked at three times: so all of a block wait for memory together.
  uint32_t buckets[kBlock];
  for (uint32_t left = end; left > 0;) {
    const uint32_t count = std::min(left, kBlock);
    for (uint32_t i = 0; i < count; ++i) __builtin_prefetch(&buckets_[buckets[i] = own_bucket(records_[left - i])]);
    for (uint32_t i = 0; i < count; ++i) __builtin_prefetch(&records_[buckets_[buckets[i]]]);
    for (uint32_t i = 0; i < count; ++i) forgotten += recover(left - i, buckets[i], known, kept);
    left -= count;
  }
  sort_by_age(kept);
  for (const uint64_t one : kept) append(records_[static_cast<uint32_t>(one)]);
  head_->used = static_cast<uint32_t>(kept.size());
  return forgotten;
}

uint32_t ConnectionTable::own_bucket(const Connection& c) const {
  const FlowHeaders flow = flow_of(c);
  return bucket_of(
      hash_flow(flow.source, flow.source_port, flow.destination, flow.destination_port, flow.protocol, secret_),
      c.tracker);
}

// Puts the record into its chain, and what is to be known for its list into `kept`; or forgets it: true if it was used.
bool ConnectionTable::recover(uint32_t place, uint32_t bucket, const Known& known, std::vector<uint64_t>& kept) {
  Connection& c = records_[place];
  const bool used = c.timeout_class() != TimeoutClass::kFree;
  if (!used || !is_right(place, known) || is_twice(c, bucket)) {
    c.list = 0;
    c.next = head_->free;
    head_->free = place;
    return used;
  }
  for (Verdict& verdict : c.verdict) {
    if (verdict.action != Action::kPass && known.hit_owner(verdict.hit)) continue;
    const bool expected = verdict.expected;
    verdict = Verdict();
    verdict.expected = expected;
  }
  c.next = buckets_[bucket];
  buckets_[bucket] = place;
  const uint64_t waited = (known.now / 1000 - c.placed) & kPlacedMask;
  kept.push_back(uint64_t{c.list} << 56 | waited << 32 | place);
  return false;
}

// As the newest of its class, with the time that it was put there.
void ConnectionTable::append(Connection& c) {
  const uint32_t placed = c.placed;
  link_newest(c, c.timeout_class(), c.profile(), 0);
  c.placed = placed & kPlacedMask;
}

}  // namespace headgate
