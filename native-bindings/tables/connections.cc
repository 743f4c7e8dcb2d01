#include "tables/connections.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "packet/hash.h"
#include "pools/memory.h"
#include "tables/flow_log.h"

namespace headgate {
namespace {

// 15 for 8 records: 7.5 bytes a record. Whole cache lines, so that records begin on one.
uint32_t buckets_for(uint32_t limit) {
  return static_cast<uint32_t>(uint64_t{std::max(limit, 16u)} * 15 / 8 / 16 * 16);
}

constexpr uint64_t kHeadBytes = 4096;
constexpr uint32_t kPlacedMask = 0xffffff;

// `tail`: its four bytes as they lie in memory.
Address ipv4_address(uint32_t tail) {
  Address address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  memcpy(address.bytes.data() + 12, &tail, sizeof tail);
  return address;
}

}  // namespace

const char* state_of(const Connection& c) {
  constexpr const char* kHeard[] = {"new", "one-way", "one-way", "two-way"};
  if (c.protocol == kTcp) return name_of(c.tcp.state);
  return c.protocol == kSctp ? name_of(c.sctp.state) : kHeard[c.plain.heard & 3];
}

bool is_closed(const Connection& c) {
  if (c.protocol == kSctp) return c.sctp.state == SctpState::kClosed;
  if (c.protocol != kTcp) return false;
  return c.tcp.state == TcpState::kLastAck || c.tcp.state == TcpState::kTimeWait || c.tcp.state == TcpState::kReset;
}

ConnectionTable::Image ConnectionTable::image(uint32_t limit, size_t record_bytes) {
  static_assert(sizeof(Head) <= kHeadBytes && sizeof(Pair) == kPairBytes);
  const uint64_t places = uint64_t{limit} + 1;
  Image image{};
  image.buckets = kHeadBytes;
  image.records = image.buckets + uint64_t{buckets_for(limit)} * sizeof(uint32_t);
  image.pairs = image.records + places * record_bytes;
  image.end = image.pairs + places * kPairBytes;
  return image;
}

uint64_t ConnectionTable::bytes_for(uint32_t limit) {
  return image(limit, sizeof(Connection)).end;
}

ConnectionTable::ConnectionTable(uint8_t* memory, uint32_t limit, uint8_t* accounts)
    : limit_(limit), bucket_count_(buckets_for(limit)), accounts_(accounts) {
  const Image at = image(limit, sizeof(Connection));
  head_ = reinterpret_cast<Head*>(memory);
  buckets_ = reinterpret_cast<uint32_t*>(memory + at.buckets);
  records_ = reinterpret_cast<Connection*>(memory + at.records);
  pairs_ = reinterpret_cast<Pair*>(memory + at.pairs);
}

// The first flows fall upon as many pages of buckets: the packet thread would wait for the kernel at each of them.
void ConnectionTable::populate() const {
  headgate::populate(head_, kHeadBytes + bucket_count_ * sizeof(uint32_t));
  headgate::populate(records_, (uint64_t{head_->high_water} + 1) * sizeof(Connection));
}

template <class Visit>
bool ConnectionTable::any_profile(TimeoutClass timeout_class, Visit visit) const {
  for (unsigned profiles = head_->profiles; profiles; profiles &= profiles - 1) {
    const unsigned profile = static_cast<unsigned>(std::countr_zero(profiles));
    if (visit(profile << kClassBits | static_cast<unsigned>(timeout_class))) return true;
  }
  return false;
}

// A free record, or one that may be taken: see the head of connections.h for the order.
uint32_t ConnectionTable::take_place(uint32_t now) {
  if (!head_->free) {
    if (head_->high_water < limit_) return ++head_->high_water;
    make_room(now);
    if (!head_->free) return 0;
  }
  uint32_t place = head_->free;
  head_->free = records_[place].next;
  return place;
}

// Frees the record that has been idle for longest, of the first class that has one to be taken.
void ConnectionTable::make_room(uint32_t now) {
  for (auto timeout_class :
       {TimeoutClass::kDenied, TimeoutClass::kEnded, TimeoutClass::kClosing, TimeoutClass::kTcpOpening,
        TimeoutClass::kUdpOneWay, TimeoutClass::kIcmpOneWay, TimeoutClass::kOtherOneWay}) {
    uint32_t taken = 0;
    any_profile(timeout_class, [&](unsigned list) {
      const uint32_t oldest = head_->lists[list].oldest;
      if (!oldest || records_[oldest].last_seen == now) return false;
      if (!taken || now - records_[oldest].last_seen > now - records_[taken].last_seen) taken = oldest;
      return false;
    });
    if (taken) return remove(records_[taken], FlowEnd::kNoRoom);
  }
}

bool ConnectionTable::recycle_half_open(uint16_t account, uint32_t now) {
  constexpr int kLooks = 4;
  const auto recycle = [&](unsigned list) {
    uint32_t place = head_->lists[list].oldest;
    for (int looks = 0; place && looks < kLooks; ++looks, place = records_[place].newer) {
      if (records_[place].account() != account || records_[place].last_seen == now) continue;
      remove(records_[place], FlowEnd::kNoRoom);
      return true;
    }
    return false;
  };
  for (auto timeout_class :
       {TimeoutClass::kTcpOpening, TimeoutClass::kUdpOneWay, TimeoutClass::kIcmpOneWay, TimeoutClass::kOtherOneWay})
    if (any_profile(timeout_class, recycle)) return true;
  return false;
}

Connection* ConnectionTable::look_up_ipv6(const Headers& h, uint16_t tracker, uint32_t bucket, bool& turned) const {
  return look_up(h, tracker, bucket, turned, [&](uint32_t place, bool back) {
    const Pair& pair = pairs_[place];
    return pair.source == (back ? h.destination : h.source) && pair.destination == (back ? h.source : h.destination);
  });
}

FlowHeaders ConnectionTable::flow_of(const Connection& c) const {
  FlowHeaders flow{{}, {}, c.source_port, c.destination_port, c.protocol};
  if (c.protocol == kIcmp || c.protocol == kIcmp6) {
    flow.icmp_type = c.plain.icmp_type;
    flow.icmp_code = c.plain.icmp_code;
  }
  if (c.is_ipv6()) {
    flow.source = pairs_[place_of(c)].source;
    flow.destination = pairs_[place_of(c)].destination;
  } else {
    flow.source = ipv4_address(static_cast<uint32_t>(c.address_tails));
    flow.destination = ipv4_address(static_cast<uint32_t>(c.address_tails >> 32));
  }
  return flow;
}

Connection* ConnectionTable::insert(const Headers& h, uint16_t tracker, uint32_t now, uint16_t account) {
  uint32_t place = take_place(now);
  if (!place) return nullptr;
  Connection& c = records_[place];
  memset(static_cast<void*>(&c), 0, sizeof c);
  c.address_tails = tails_of(h.source, h.destination);
  c.layer3 = h.layer3;
  if (c.is_ipv6()) pairs_[place] = {h.source, h.destination};
  c.source_port = h.source_port;
  c.destination_port = h.destination_port;
  c.tracker = tracker;
  c.protocol = h.protocol;
  if (h.protocol == kIcmp || h.protocol == kIcmp6) c.plain = {0, h.icmp_type, h.icmp_code};
  c.tally[0] = uint64_t{account} << Connection::kTallyBits;
  c.created = c.last_seen = now;
  std::atomic_signal_fence(std::memory_order_release);  // before its class
  uint32_t& bucket = buckets_[bucket_of(h.hash, tracker)];
  c.next = bucket;
  bucket = place;
  link_newest(c, TimeoutClass::kOtherOneWay, 0, now);
  ++head_->used;
  ++accounts_[account].begun;
  return &c;
}

void ConnectionTable::link_newest(Connection& c, TimeoutClass timeout_class, uint8_t profile, uint32_t now) {
  uint32_t place = place_of(c);
  c.list = static_cast<uint8_t>(profile << kClassBits | static_cast<uint8_t>(timeout_class));
  head_->profiles |= static_cast<uint16_t>(1u << profile);
  List& list = head_->lists[c.list];
  c.placed = (now / 1000) & kPlacedMask;
  c.newer = 0;
  c.older = list.newest;
  if (list.newest) {
    records_[list.newest].newer = place;
    note_change(list.newest);
  }
  note_change(place);
  list.newest = place;
  if (!list.oldest) list.oldest = place;
  ++count_of(c);
}

void ConnectionTable::unlink(Connection& c) {
  List& list = head_->lists[c.list];
  --count_of(c);
  for (const uint32_t neighbour : {c.newer, c.older}) note_change(neighbour);
  (c.newer ? records_[c.newer].older : list.newest) = c.older;
  (c.older ? records_[c.older].newer : list.oldest) = c.newer;
}

void ConnectionTable::remove(Connection& c) {
  remove(c, end_of(c));
}

void ConnectionTable::remove(Connection& c, FlowEnd why) {
  uint32_t place = place_of(c);
  if (log_) log_->ended(*this, c, why);
  const FlowHeaders flow = flow_of(c);
  uint64_t hash =
      hash_flow(flow.source, flow.source_port, flow.destination, flow.destination_port, flow.protocol, secret_);
  uint32_t* link = &buckets_[bucket_of(hash, c.tracker)];
  for (note_change(place); *link != place; link = &records_[*link].next) note_change(*link);
  *link = c.next;
  unlink(c);
  c.list = 0;
  c.next = head_->free;
  head_->free = place;
  --head_->used;
}

bool ConnectionTable::expire(uint32_t now, const Profiles& profiles, uint32_t most) {
  bool behind = false;
  for (unsigned left = head_->profiles; left; left &= left - 1) {
    const unsigned profile = static_cast<unsigned>(std::countr_zero(left));
    bool empty = true;
    for (unsigned i = 1; i < static_cast<unsigned>(TimeoutClass::kCount); ++i) {
      const uint8_t list = static_cast<uint8_t>(profile << kClassBits | i);
      if (!head_->lists[list].oldest) continue;  // most of them, after every batch
      empty = false;
      behind |= expire_list(list, now, profiles.idle(list), most);
    }
    if (empty && profile) head_->profiles &= static_cast<uint16_t>(~(1u << profile));
  }
  return behind;
}

bool ConnectionTable::expire_list(uint8_t list, uint32_t now, uint32_t timeout, uint32_t most) {
  uint32_t looked = 0;
  for (; looked < most && head_->lists[list].oldest; ++looked) {
    Connection& c = records_[head_->lists[list].oldest];
    if (((now / 1000 - c.placed) & kPlacedMask) * 1000ull < timeout) break;
    if (now - c.last_seen >= timeout)
      remove(c);
    else
      move_to(c, c.timeout_class(), c.profile(), now);
  }
  return looked == most;
}

}  // namespace headgate
