// The connection table of one worker: a record for each flow of TCP, UDP, ICMP or another IP protocol, found by
// (tracker, 5-tuple) from either direction.
//
// Records lie in one array and are named by their place in it (0 is none), so the table can live in a pool. A bucket
// array holds the first record of each chain; there are nearly two buckets a record, so chains are short. The buckets'
// memory is taken at the start, that of records as they are used.
//
// Every record stands in the list of its timeout class and profile (tables/timeouts.h), in the order in which it was
// put there; all records of a list have the same timeout. A frame only notes the time in its record. A record at the
// old end that was put there a timeout ago is either idle, and freed, or moved to the front: so each is looked at once
// a timeout, and ageing costs a bounded, amortised constant per batch. A look-up finds no record that is past its time,
// however late that ageing is.
//
// When the table is full, a new flow may take the place of a record that is nobody's working connection: denied,
// closing, then opening, oldest first. Established ones are never evicted; the new flow is refused instead. A record
// that the current millisecond has used is never taken, so pointers in the running batch stay good.
//
// All of the table is in its memory, the heads of its lists too, so an engine that follows another maps it and goes on.
// After a crash what was written last may be half there. Then `recover` (tables/recover.cc) looks at each record,
// forgets those that make no sense, and makes chains, lists and counts anew: a record's class is written last when it
// begins, so one that has a class is whole.
//
// An engine whose records have another layout works on a copy (pipeline/convert.h), which is made while frames go on:
// for that long the table marks each place at which something changes.
//
// A record takes 128 bytes with its two buckets. Of the addresses it holds the last four bytes each: all of IPv4's.
// IPv6 flows have theirs whole in an array beside, of which only the places of such flows are ever touched: 32 bytes
// more.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <iterator>
#include <vector>

#include "packet/headers.h"
#include "tables/accounts.h"
#include "tables/generation.h"
#include "tables/hits.h"
#include "tables/sctp_state.h"
#include "tables/tcp_state.h"
#include "tables/timeouts.h"

namespace headgate {

class FlowLog;
enum class FlowEnd : uint8_t;

// Of UDP, ICMP and other protocols: whether the initiator (bit 0) and the responder (bit 1) were heard.
struct PlainTracking {
  uint8_t heard;
  uint8_t icmp_type;  // of the first frame
  uint8_t icmp_code;
};

// What a workload's index said about the flow. `epoch` is that of the workload when it was judged: another one, or
// another workload, means that it has to be judged again.
struct Verdict {
  uint32_t epoch = 0;
  uint32_t hit : kHitBits = 0;  // place in the worker's HitTable
  Action action : 2 = Action::kAllow;
  OnChange on_change : 2 = OnChange::kReevaluate;
  bool by_rule : 1 = false;  // else by the default
  uint8_t profile : 4 = 0;   // of the rule's section
  Helper helper : 2 = Helper::kNone;
  bool expected : 1 = false;  // judged as the connection that expected it (tables/helpers.h)
};
static_assert(sizeof(Verdict) == 8);

struct Connection {
  static constexpr unsigned kTallyBits = 48;

#ifdef HEADGATE_NEXT_LAYOUT
  uint64_t next_layout;  // test/next_layout.h
#endif
  // The key, as the first frame had it.
  uint64_t address_tails;  // tails_of() its addresses
  uint16_t source_port;
  uint16_t destination_port;
  uint16_t tracker;
  Layer3 layer3;
  uint8_t protocol;

  uint32_t next;   // in the chain
  uint32_t newer;  // in the list of its class
  uint32_t older;
  uint32_t last_seen;  // milliseconds
  uint32_t created;
  uint32_t placed : 24;  // seconds, modulo 2^24, when it was put into its list
  uint8_t list;          // profile << kClassBits | timeout class
  Verdict verdict[2];    // at the initiator's workload and at the responder's
  union {                // by protocol
    TcpTracking tcp = {};
    SctpTracking sctp;
    PlainTracking plain;
  };
  // Packets from the initiator and from the responder in the lower 48 bits, which counting never leaves. Above the
  // first stands the number of its account (tables/accounts.h), above the second the place of its service tag
  // (tables/services.h).
  uint64_t tally[2];
  uint64_t bytes[2];

  uint64_t packets(int side) const {
    return tally[side] & ((uint64_t{1} << kTallyBits) - 1);
  }
  uint16_t account() const {
    return static_cast<uint16_t>(tally[0] >> kTallyBits);
  }
  uint16_t service() const {
    return static_cast<uint16_t>(tally[1] >> kTallyBits);
  }
  void set_service(uint16_t place) {
    tally[1] = (tally[1] & ((uint64_t{1} << kTallyBits) - 1)) | uint64_t{place} << kTallyBits;
  }
  TimeoutClass timeout_class() const {
    return static_cast<TimeoutClass>(list & ((1u << kClassBits) - 1));
  }
  uint8_t profile() const {
    return static_cast<uint8_t>(list >> kClassBits);
  }
  bool is_ipv6() const {
    return layer3 == Layer3::kIpv6;
  }
  // Of the key, what are no addresses: compared as one word.
  uint64_t key() const {
    return uint64_t{protocol} << 56 | uint64_t{static_cast<uint8_t>(layer3)} << 48 | uint64_t{tracker} << 32 |
           uint32_t{destination_port} << 16 | source_port;
  }
};

// The last four bytes of two addresses. Turned by half a word they are those of the other direction.
inline uint64_t tails_of(const Address& source, const Address& destination) {
  return source.half(1) >> 32 | (destination.half(1) & 0xffffffff00000000u);
}

// Whether its rule was changed with `reset`: no side's action is `allow` any more.
inline bool is_ended(const Connection& c) {
  return c.timeout_class() == TimeoutClass::kEnded;
}

inline bool is_denied(const Connection& c) {
  return c.timeout_class() == TimeoutClass::kDenied || is_ended(c);
}

// Tells a connection from others that had its place before; never 0.
inline uint64_t mark_of(const Connection& c) {
  return ((c.key() ^ std::rotl(c.address_tails, 21)) * 0x9e3779b97f4a7c15ull ^ uint64_t{c.created} << 1) | 1;
}

// For people: of a denied one too, what state it was in.
const char* state_of(const Connection& connection);

// Whether its ends have closed it.
bool is_closed(const Connection& connection);

#ifndef HEADGATE_NEXT_LAYOUT
static_assert(sizeof(Connection) <= 120, "a record and its two buckets take 128 bytes");
#endif

inline Standing standing_of(TimeoutClass timeout_class) {
  if (timeout_class <= TimeoutClass::kClosing) return Standing::kOver;
  return timeout_class <= TimeoutClass::kOtherOneWay ? Standing::kHalfOpen : Standing::kWorking;
}

class ConnectionTable {
 public:
  // Of the table in memory, its records' and that of their accounts' numbers (pipeline/state.def).
#ifdef HEADGATE_NEXT_LAYOUT
  static constexpr uint32_t kLayout = 3;
#else
  static constexpr uint32_t kLayout = 2;
#endif

  // Bytes that a table for `limit` records needs. The memory stays the caller's; it is zeroed, or as an earlier table
  // of this limit left it. `accounts`: likewise, Accounts::kBytes; null: its own.
  static uint64_t bytes_for(uint32_t limit);
  ConnectionTable(uint8_t* memory, uint32_t limit, uint8_t* accounts = nullptr);

  // For a table whose last owner did not let go of it in order, before the first frame and behind set_secret: forgets
  // records that are not right and makes everything else anew. What is known of numbers that records name:
  struct Known {
    uint32_t now;                                       // milliseconds
    std::function<bool(uint16_t tracker)> tracker;      // whether there is one
    std::function<bool(uint16_t place)> service;        // likewise of a service tag
    std::function<uint32_t(uint32_t place)> hit_owner;  // the workload's serial; 0: no such place
  };
  // Returns how many were forgotten.
  uint32_t recover(const Known& known);

  // Has the pages made ready that frames will write to.
  void populate() const;

  // From now on marks[place] is set behind each change of a record, where frames are not told; null: no longer.
  void mark_changes(uint8_t* marks) {
    marks_ = marks;
  }
  bool marks_changes() const {
    return marks_;
  }
  // After a batch: the frame's record has changed, if it is one of this table.
  void mark(const Connection* c) {
    if (c >= records_ && c <= records_ + limit_) marks_[place_of(*c)] = 1;
  }

  // Where the parts of a table lie in its memory, whose records have so many bytes.
  struct Image {
    uint64_t buckets, records, pairs, end;
  };
  static Image image(uint32_t limit, size_t record_bytes);
  static constexpr size_t kPairBytes = 2 * sizeof(Address);
  static uint32_t high_water(const uint8_t* memory) {
    return reinterpret_cast<const Head*>(memory)->high_water;
  }

  // Where the flow's record is found, on its way to the cache.
  uint32_t prefetch(uint64_t hash, uint16_t tracker) const {
    const uint32_t bucket = bucket_of(hash, tracker);
    __builtin_prefetch(&buckets_[bucket]);
    return bucket;
  }
  // The record of the frame's flow, or null; a record that is past its time is freed instead. `reply` tells whether the
  // frame runs against its first frame. `bucket`: what prefetch() said.
  Connection* find(const Headers& h, uint16_t tracker, uint32_t bucket, uint32_t now, const Profiles& profiles,
                   bool& reply) {
    bool turned;
    Connection* c = look_up(h, tracker, bucket, turned);
    if (!c) return nullptr;
    if (now - c->last_seen >= profiles.idle(c->list)) {
      remove(*c);
      return nullptr;
    }
    reply = turned;
    return c;
  }
  Connection* find(const Headers& h, uint16_t tracker, uint32_t now, const Profiles& profiles, bool& reply) {
    return find(h, tracker, bucket_of(h.hash, tracker), now, profiles, reply);
  }
  // The same, also of one that is past its time; null if there is none. Changes nothing.
  const Connection* peek(const Headers& h, uint16_t tracker) const {
    bool turned;
    return look_up(h, tracker, bucket_of(h.hash, tracker), turned);
  }

  // The flow of a record of this table, as its first frame had it.
  FlowHeaders flow_of(const Connection& c) const;

  // A new record for a flow that has none, with the frame's sender as initiator. Null when nothing may make room.
  Connection* insert(const Headers& headers, uint16_t tracker, uint32_t now, uint16_t account = 0);

  // Frees one of the account's oldest half-open records; false if none is among the few that are looked at.
  bool recycle_half_open(uint16_t account, uint32_t now);

  // Notes a frame at `now`; a change of class moves the record to the front of its new list.
  void touch(Connection& connection, TimeoutClass timeout_class, uint32_t now) {
    connection.last_seen = now;
    if (connection.timeout_class() != timeout_class) move_to(connection, timeout_class, connection.profile(), now);
  }
  // Follows it by another profile from now on.
  void set_profile(Connection& connection, uint8_t profile, uint32_t now) {
    if (connection.profile() != profile) move_to(connection, connection.timeout_class(), profile, now);
  }

  // Frees idle records, looking at no more than `most` of each list. True: others may be due as well.
  bool expire(uint32_t now, const Profiles& profiles, uint32_t most);

  void remove(Connection& connection);

  // Where the ends of connections are told from now on; null: nowhere.
  void tell(FlowLog* log) {
    log_ = log;
  }

  uint32_t size() const {
    return head_->used;
  }
  uint32_t limit() const {
    return limit_;
  }
  Accounts& accounts() {
    return accounts_;
  }

  // Calls visit(connection) for each record in places [from, from + count); returns the next place, 0 at the end.
  template <class Visit>
  uint32_t walk(uint32_t from, uint32_t count, Visit visit) const {
    uint32_t end = head_->high_water + 1;
    uint32_t i = from ? from : 1;
    for (; i < end && count; ++i, --count)
      if (records_[i].timeout_class() != TimeoutClass::kFree) visit(records_[i]);
    return i < end ? i : 0;
  }

  uint32_t place_of(const Connection& c) const {
    return static_cast<uint32_t>(&c - records_);
  }

  // Set once, before the first frame: the secret of hash_flow that headers.hash was made with.
  void set_secret(uint64_t secret) {
    secret_ = secret;
  }

 private:
  struct Pair {
    Address source;
    Address destination;
  };
  struct List {
    uint32_t newest;
    uint32_t oldest;
  };
  struct Head {
    uint32_t used;
    uint32_t high_water;  // records [1, high_water] have been used at some time
    uint32_t free;        // chain of freed records through `next`
    uint32_t profiles;    // bit by profile: its lists may have records
    List lists[kTimeoutLists];
  };
  // The upper half of a product takes 32 bits to [0, buckets), of which there need not be a power of two. The tracker
  // is spread over them, since the lowest ones hardly count.
  uint32_t bucket_of(uint64_t hash, uint16_t tracker) const {
    return static_cast<uint32_t>(uint64_t{static_cast<uint32_t>(hash) + tracker * 0x9e3779b1u} * bucket_count_ >> 32);
  }
  [[gnu::always_inline]] Connection* look_up(const Headers& h, uint16_t tracker, uint32_t bucket, bool& turned) const {
    if (h.layer3 == Layer3::kIpv6) return look_up_ipv6(h, tracker, bucket, turned);
    return look_up(h, tracker, bucket, turned, [](uint32_t, bool) { return true; });
  }
  [[gnu::noinline]] Connection* look_up_ipv6(const Headers& h, uint16_t tracker, uint32_t bucket, bool& turned) const;
  // `is_it(place, turned)` is asked of records that are right but for what their address tails do not tell.
  template <class IsIt>
  [[gnu::always_inline]] Connection* look_up(const Headers& h, uint16_t tracker, uint32_t bucket, bool& turned,
                                             IsIt is_it) const {
    const uint64_t flow =
        uint64_t{h.protocol} << 56 | uint64_t{static_cast<uint8_t>(h.layer3)} << 48 | uint64_t{tracker} << 32;
    const uint32_t ports = uint32_t{h.destination_port} << 16 | h.source_port;
    const uint64_t key = flow | ports, turned_key = flow | std::rotl(ports, 16);
    const uint64_t tails = tails_of(h.source, h.destination);
    for (uint32_t i = buckets_[bucket]; i; i = records_[i].next) {
      Connection& c = records_[i];
      turned = false;
      if (c.key() == key && c.address_tails == tails && is_it(i, false)) return &c;
      turned = true;
      if (c.key() == turned_key && c.address_tails == std::rotl(tails, 32) && is_it(i, true)) return &c;
    }
    return nullptr;
  }
  void link_newest(Connection& c, TimeoutClass timeout_class, uint8_t profile, uint32_t now);
  void unlink(Connection& c);
  uint32_t& count_of(const Connection& c) {
    return accounts_[c.account()].records[static_cast<int>(standing_of(c.timeout_class()))];
  }
  void move_to(Connection& c, TimeoutClass timeout_class, uint8_t profile, uint32_t now) {
    unlink(c);
    link_newest(c, timeout_class, profile, now);
  }
  void note_change(uint32_t place) {
    if (marks_) marks_[place] = 1;
  }
  // Calls visit(list) for each list of the class that may have records, until it says true.
  template <class Visit>
  bool any_profile(TimeoutClass timeout_class, Visit visit) const;
  uint32_t take_place(uint32_t now);
  void make_room(uint32_t now);
  bool expire_list(uint8_t list, uint32_t now, uint32_t timeout, uint32_t most);
  void remove(Connection& connection, FlowEnd why);
  // recover.cc
  bool is_right(uint32_t place, const Known& known) const;
  bool is_twice(const Connection& c, uint32_t bucket) const;
  uint32_t own_bucket(const Connection& c) const;
  bool recover(uint32_t place, uint32_t bucket, const Known& known, std::vector<uint64_t>& kept);
  void append(Connection& c);

  uint32_t limit_;
  uint32_t bucket_count_;
  uint64_t secret_ = 0;
  uint8_t* marks_ = nullptr;
  Head* head_;
  uint32_t* buckets_;
  Connection* records_;
  Pair* pairs_;  // by place, of IPv6 flows alone
  Accounts accounts_;
  FlowLog* log_ = nullptr;
};

}  // namespace headgate
