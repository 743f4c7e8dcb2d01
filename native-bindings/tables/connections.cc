#include "tables/connections.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "packet/hash.h"
#include "tables/flow_log.h"

namespace headgate {
namespace {

// 15 for 8 records: 7.5 bytes a record. Whole cache lines, so that records begin on one.
uint32_t buckets_for(uint32_t limit) {
  return static_cast<uint32_t>(uint64_t{std::max(limit, 16u)} * 15 / 8 / 16 * 16);
}

constexpr uint32_t kPlacedMask = 0xffffff;

// `tail`: its four bytes as they lie in memory.
Address ipv4_address(uint32_t tail) {
  Address address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  memcpy(address.bytes.data() + 12, &tail, sizeof tail);
  return address;
}

}  // namespace

const char* name_of(ConnectionState state) {
  constexpr const char* kNames[] = {"new",         "one-way",  "two-way", "syn-sent", "syn-received",
                                    "established", "fin-sent", "closing", "reset"};
  static_assert(std::size(kNames) == static_cast<size_t>(ConnectionState::kCount));
  return kNames[static_cast<int>(state)];
}

uint64_t ConnectionTable::bytes_for(uint32_t limit) {
  return uint64_t{buckets_for(limit)} * sizeof(uint32_t) + (uint64_t{limit} + 1) * (sizeof(Connection) + sizeof(Pair));
}

ConnectionTable::ConnectionTable(uint8_t* memory, uint32_t limit) : limit_(limit), bucket_count_(buckets_for(limit)) {
  const uint64_t bucket_bytes = uint64_t{bucket_count_} * sizeof(uint32_t);
  buckets_ = reinterpret_cast<uint32_t*>(memory);
  records_ = reinterpret_cast<Connection*>(memory + bucket_bytes);
  pairs_ = reinterpret_cast<Pair*>(records_ + uint64_t{limit} + 1);
  // The first flows fall upon as many pages of buckets: the packet thread would wait for the kernel at each of them.
  for (volatile uint8_t* page = memory; page < memory + bucket_bytes; page += 4096) *page = *page;
}

// A free record, or one that may be taken: see the head of connections.h for the order.
uint32_t ConnectionTable::take_place(uint32_t now) {
  if (free_) {
    uint32_t place = free_;
    free_ = records_[place].next;
    return place;
  }
  if (high_water_ < limit_) return ++high_water_;
  for (auto timeout_class :
       {TimeoutClass::kDenied, TimeoutClass::kEnded, TimeoutClass::kTcpClosing, TimeoutClass::kTcpOpening,
        TimeoutClass::kUdpOneWay, TimeoutClass::kIcmpOneWay, TimeoutClass::kOtherOneWay}) {
    uint32_t oldest = lists_[static_cast<int>(timeout_class)].oldest;
    if (!oldest || records_[oldest].last_seen == now) continue;
    remove(records_[oldest], FlowEnd::kNoRoom);
    uint32_t place = free_;
    free_ = records_[place].next;
    return place;
  }
  return 0;
}

bool ConnectionTable::recycle_half_open(uint16_t account, uint32_t now) {
  constexpr int kLooks = 4;
  for (auto timeout_class :
       {TimeoutClass::kTcpOpening, TimeoutClass::kUdpOneWay, TimeoutClass::kIcmpOneWay, TimeoutClass::kOtherOneWay}) {
    uint32_t place = lists_[static_cast<int>(timeout_class)].oldest;
    for (int looks = 0; place && looks < kLooks; ++looks, place = records_[place].newer) {
      if (records_[place].account != account || records_[place].last_seen == now) continue;
      remove(records_[place], FlowEnd::kNoRoom);
      return true;
    }
  }
  return false;
}

Connection* ConnectionTable::look_up_ipv6(const Headers& h, uint16_t tracker, uint32_t bucket, bool& turned) const {
  return look_up(h, tracker, bucket, turned, [&](uint32_t place, bool back) {
    const Pair& pair = pairs_[place];
    return pair.source == (back ? h.destination : h.source) && pair.destination == (back ? h.source : h.destination);
  });
}

FlowHeaders ConnectionTable::flow_of(const Connection& c) const {
  FlowHeaders flow{{}, {}, c.source_port, c.destination_port, c.protocol, c.icmp_type, c.icmp_code};
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
  c.icmp_type = h.icmp_type;
  c.icmp_code = h.icmp_code;
  c.account = account;
  c.created = c.last_seen = now;
  uint32_t& bucket = buckets_[bucket_of(h.hash, tracker)];
  c.next = bucket;
  bucket = place;
  link_newest(c, TimeoutClass::kOtherOneWay, now);
  ++used_;
  ++accounts_[account].begun;
  return &c;
}

void ConnectionTable::link_newest(Connection& c, TimeoutClass timeout_class, uint32_t now) {
  List& list = lists_[static_cast<int>(timeout_class)];
  uint32_t place = place_of(c);
  c.timeout_class = timeout_class;
  c.placed = (now / 1000) & kPlacedMask;
  c.newer = 0;
  c.older = list.newest;
  if (list.newest) records_[list.newest].newer = place;
  list.newest = place;
  if (!list.oldest) list.oldest = place;
  ++count_of(c);
}

void ConnectionTable::unlink(Connection& c) {
  List& list = lists_[static_cast<int>(c.timeout_class)];
  --count_of(c);
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
  while (*link != place) link = &records_[*link].next;
  *link = c.next;
  unlink(c);
  c.timeout_class = TimeoutClass::kFree;
  c.next = free_;
  free_ = place;
  --used_;
}

bool ConnectionTable::expire(uint32_t now, const Timeouts& timeouts, uint32_t most) {
  bool behind = false;
  for (int i = 1; i < static_cast<int>(TimeoutClass::kCount); ++i) {
    if (!lists_[i].oldest) continue;  // most of them, after every batch
    auto timeout_class = static_cast<TimeoutClass>(i);
    uint32_t timeout = timeout_of(timeout_class, timeouts);
    uint32_t looked = 0;
    for (; looked < most && lists_[i].oldest; ++looked) {
      Connection& c = records_[lists_[i].oldest];
      if (((now / 1000 - c.placed) & kPlacedMask) * 1000ull < timeout) break;
      if (now - c.last_seen >= timeout)
        remove(c);
      else
        move_to(c, timeout_class, now);
    }
    behind |= looked == most;
  }
  return behind;
}

}  // namespace headgate
