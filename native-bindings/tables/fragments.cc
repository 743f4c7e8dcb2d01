#include "tables/fragments.h"

#include <utility>

#include "packet/hash.h"
#include "tables/generation.h"

namespace headgate {
namespace {

constexpr uint32_t kBuckets = 2 * FragmentTable::kDatagrams;
// So many may have to give way to one: more than comes, so that a workload which has more than its share by now gets
// down to it, and few, so that no frame waits for long.
constexpr int kMostToGiveWay = 2;

// IPv6 names a datagram without its protocol, in which later fragments need not be right (RFC 8200, 4.5).
uint8_t key_protocol(const Headers& h) {
  return h.layer3 == Layer3::kIpv4 ? h.protocol : 0;
}

// At an edge pair it is not known: there the tracker stands for all who send, on either side.
uint32_t sender_of(const Frame& frame) {
  return frame.bridge ? frame.bridge->judge : frame.source_workload;
}

bool from_north(const Frame& frame) {
  return frame.bridge && *frame.source->side == EdgeSide::kNorth;
}

}  // namespace

FragmentTable::FragmentTable(uint64_t secret, Drop drop)
    : secret_(secret), drop_(std::move(drop)), all_(kDatagrams + 1), buckets_(kBuckets), frames_(kHeld + 1) {
  for (Place place = kDatagrams; place > 0; --place) all_[place].next = std::exchange(free_, place);
  spare_.reserve(kHeld);
  for (Place place = kHeld; place > 0; --place) {
    frames_[place].frame = pool_.acquire();
    spare_.push_back(place);
  }
}

Reason FragmentTable::take(Frame& frame, uint32_t now, bool& held) {
  held = false;
  expire(now);
  Place place = find(frame);
  if (!place) place = make(frame, now);
  if (!place) return Reason::kFragmentsFull;
  Datagram& d = all_[place];
  if (d.refused != Reason::kNone) return d.refused;
  switch (d.map.add(frame.part.offset, frame.part.length, frame.part.more)) {
    case FragmentMap::Part::kDuplicate:
      return Reason::kFragmentDuplicate;
    case FragmentMap::Part::kOverlap:
      return refuse(place, Reason::kFragmentOverlap);
    case FragmentMap::Part::kWrongEnd:
      return refuse(place, Reason::kFragmentWrongEnd);
    case FragmentMap::Part::kNew:
      break;
  }
  const Reason reason = go_on(place, frame, held);
  if (d.map.complete() && d.settled && !d.held_first) forget(place, Reason::kNone);
  return reason;
}

// A part of the datagram that had not come before.
Reason FragmentTable::go_on(Place place, Frame& frame, bool& held) {
  Datagram& d = all_[place];
  if (frame.headers.first_fragment) {
    learn(place, frame.headers);
  } else if ((!d.settled || d.held_first) && may_hold(place)) {  // behind those that are held still
    hold(place, frame);
    held = true;
    return Reason::kNone;
  } else if (!d.settled) {
    return refuse(place, Reason::kFragmentsFull);
  } else {
    fill_in(d, frame);
  }
  frame.joined = true;
  return Reason::kNone;
}

bool FragmentTable::release(Frame& frame) {
  const Place place = ready_.oldest;
  if (!place) return false;
  Datagram& d = all_[place];
  take_held(d, frame);
  fill_in(d, frame);
  if (d.held_first) return true;
  remove(ready_, &Datagram::by_readiness, place);
  d.ready = false;
  if (d.map.complete()) forget(place, Reason::kNone);
  return true;
}

void FragmentTable::expire(uint32_t now) {
  while (ages_.oldest && now - all_[ages_.oldest].created >= kTimeout) forget(ages_.oldest, Reason::kFragmentTimeout);
}

void FragmentTable::retain(size_t workloads, const std::function<bool(uint32_t)>& same) {
  if (shares_.size() < workloads) shares_.resize(workloads);
  auto stays = [&](const Datagram& d) {
    if (!same(d.workload)) return false;
    for (Place held = d.held_first; held; held = frames_[held].next)
      if (uint32_t to = frames_[held].frame->destination_workload; to != kManyOutputs && !same(to)) return false;
    return true;
  };
  for (Place place = ages_.oldest; place;) {
    const Place next = all_[place].by_age.newer;
    if (!stays(all_[place])) forget(place, Reason::kPortUnbound);
    place = next;
  }
}

FragmentTable::Place& FragmentTable::bucket_of(const Address& source, const Address& destination, uint32_t id,
                                               uint32_t workload) {
  const uint64_t key = uint64_t{workload} << 32 | id;
  const uint64_t mixed = hash_endpoint(source, 0, secret_ ^ key) + hash_endpoint(destination, 1, secret_);
  return buckets_[fold_multiply(mixed, 0xd6e8feb86659fd93ull) % kBuckets];
}

FragmentTable::Place FragmentTable::find(const Frame& frame) {
  const Headers& h = frame.headers;
  const uint32_t sender = sender_of(frame);
  Place place = bucket_of(h.source, h.destination, h.fragment_id, sender);
  for (; place; place = all_[place].next) {
    const Datagram& d = all_[place];
    if (d.id == h.fragment_id && d.workload == sender && d.from_north == from_north(frame) &&
        d.protocol == key_protocol(h) && d.source == h.source && d.destination == h.destination)
      break;
  }
  return place;
}

// 0 when there is no room, though the workload's oldest gave way.
FragmentTable::Place FragmentTable::make(const Frame& frame, uint32_t now) {
  const Headers& h = frame.headers;
  Datagram key{};
  key.source = h.source;
  key.destination = h.destination;
  key.id = h.fragment_id;
  key.protocol = key_protocol(h);
  key.from_north = from_north(frame);
  return make(key, sender_of(frame), now);
}

FragmentTable::Place FragmentTable::make(const Datagram& key, uint32_t workload, uint32_t now) {
  Share& share = shares_[workload];
  for (int i = 0; i < kMostToGiveWay && share.datagrams >= free_datagrams_ && share.datagrams; ++i) {
    const Place waiting = share.waiting.oldest, settled = share.settled.oldest;
    const bool first = waiting && (!settled || now - all_[waiting].created >= now - all_[settled].created);
    forget(first ? waiting : settled, Reason::kFragmentsFull);
  }
  if (!free_) return 0;
  const Place place = free_;
  Datagram& d = all_[place];
  free_ = d.next;
  --free_datagrams_;
  ++share.datagrams;
  d.source = key.source;
  d.destination = key.destination;
  d.id = key.id;
  d.workload = workload;
  d.from_north = key.from_north;
  d.created = now;
  d.protocol = key.protocol;
  Place& bucket = bucket_of(d.source, d.destination, d.id, d.workload);
  d.next = std::exchange(bucket, place);
  append(ages_, &Datagram::by_age, place);
  append(share.waiting, &Datagram::of_workload, place);
  return place;
}

void FragmentTable::learn(Place place, const Headers& h) {
  Datagram& d = all_[place];
  d.flow_protocol = h.protocol;
  d.icmp_type = h.icmp_type;
  d.icmp_code = h.icmp_code;
  d.source_port = h.source_port;
  d.destination_port = h.destination_port;
  settle(place);
  if (d.held_first) make_ready(place);
}

void FragmentTable::make_ready(Place place) {
  all_[place].ready = true;
  append(ready_, &Datagram::by_readiness, place);
}

void FragmentTable::fill_in(const Datagram& d, Frame& frame) {
  Headers& h = frame.headers;
  h.protocol = d.flow_protocol;
  h.icmp_type = d.icmp_type;
  h.icmp_code = d.icmp_code;
  h.icmp_error = is_icmp_error(h);
  h.source_port = d.source_port;
  h.destination_port = d.destination_port;
  frame.joined = true;
}

// The datagram stays known, so that what follows is refused too.
Reason FragmentTable::refuse(Place place, Reason reason) {
  Datagram& d = all_[place];
  drop_held(place, reason);
  d.refused = reason;
  if (!d.settled) settle(place);
  return reason;
}

void FragmentTable::settle(Place place) {
  Datagram& d = all_[place];
  Share& share = shares_[d.workload];
  remove(share.waiting, &Datagram::of_workload, place);
  append(share.settled, &Datagram::of_workload, place);
  d.settled = true;
}

void FragmentTable::forget(Place place, Reason reason) {
  Datagram& d = all_[place];
  Share& share = shares_[d.workload];
  drop_held(place, reason);
  remove(d.settled ? share.settled : share.waiting, &Datagram::of_workload, place);
  remove(ages_, &Datagram::by_age, place);
  Place* chain = &bucket_of(d.source, d.destination, d.id, d.workload);
  while (*chain != place) chain = &all_[*chain].next;
  *chain = d.next;
  d.map.clear();
  d.settled = false;
  d.refused = Reason::kNone;
  d.next = std::exchange(free_, place);
  ++free_datagrams_;
  --share.datagrams;
}

// Whether there is room to hold a frame of the datagram; older ones of its workload may give way.
bool FragmentTable::may_hold(Place place) {
  const Share& share = shares_[all_[place].workload];
  for (int i = 0; i < kMostToGiveWay && share.held >= spare_.size(); ++i) {
    const Place oldest = share.waiting.oldest;
    if (!oldest || oldest == place) return false;
    forget(oldest, Reason::kFragmentsFull);
  }
  return !spare_.empty();
}

void FragmentTable::hold(Place place, Frame& frame) {
  std::swap(*frames_[spare_.back()].frame, frame);
  keep(place);
}

// The frame that the last spare place has by now.
void FragmentTable::keep(Place place) {
  Datagram& d = all_[place];
  const Place held = spare_.back();
  spare_.pop_back();
  frames_[held].next = 0;
  (d.held_first ? frames_[d.held_last].next : d.held_first) = held;
  d.held_last = held;
  ++shares_[d.workload].held;
}

void FragmentTable::take_held(Datagram& d, Frame& frame) {
  const Place held = d.held_first;
  std::swap(*frames_[held].frame, frame);
  d.held_first = frames_[held].next;
  spare_.push_back(held);
  --shares_[d.workload].held;
}

void FragmentTable::drop_held(Place place, Reason reason) {
  Datagram& d = all_[place];
  if (d.ready) remove(ready_, &Datagram::by_readiness, place);
  d.ready = false;
  for (Place held = d.held_first; held; held = frames_[held].next) {
    drop_(*frames_[held].frame, reason);
    spare_.push_back(held);
    --shares_[d.workload].held;
  }
  d.held_first = 0;
}

void FragmentTable::append(List& list, Links Datagram::*links, Place place) {
  all_[place].*links = {list.newest, 0};
  (list.newest ? (all_[list.newest].*links).newer : list.oldest) = place;
  list.newest = place;
}

void FragmentTable::remove(List& list, Links Datagram::*links, Place place) {
  const Links l = all_[place].*links;
  (l.older ? (all_[l.older].*links).newer : list.oldest) = l.newer;
  (l.newer ? (all_[l.newer].*links).older : list.newest) = l.older;
}

}  // namespace headgate
