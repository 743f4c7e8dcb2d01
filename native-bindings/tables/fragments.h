// Virtual reassembly (RFC 791, 3.2; RFC 8200, 4.5): every fragment is judged as the flow of its datagram, and forwarded
// as it is. Only the first fragment carries the ports, so later ones that come before it are held until it does, and
// then go on in the order in which they came.
//
// Of each datagram that is not complete it is known which parts have come. A fragment that overlaps another ends the
// datagram: what is held and all that follows is dropped (RFC 5722; IPv4 is treated alike, RFC 1858 and 3128 say why).
// One that came before, from and to the same byte, is dropped alone: networks duplicate, and what the copy holds must
// not count.
//
// A workload may have as many unfinished datagrams, and held frames, as are still free: half if it is alone, a third
// each beside another. So one that sends more than that always leaves room for the others; its own oldest ones give
// way.
//
// A datagram belongs to the workload that sent it: sent on by another, as by a router, it is another. Memory is fixed
// and made at the start; held frames are swapped for spare ones, nothing is copied.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "packet/frame_pool.h"
#include "packet/reasons.h"
#include "tables/fragment_map.h"

namespace headgate {

class FragmentTable {
 public:
  static constexpr uint32_t kDatagrams = 2048;
  static constexpr uint32_t kHeld = 512;        // frames
  static constexpr uint32_t kTimeout = 30'000;  // milliseconds from the first that came, for the whole of a datagram

  // `drop` is told of every held frame that will not go on. `secret`: of the hash.
  using Drop = std::function<void(Frame&, Reason)>;
  FragmentTable(uint64_t secret, Drop drop);

  // What is to be done with a fragment: kNone lets it go on, with its ports filled in, unless `held` says that it was
  // kept and an empty frame left in its place. Another reason is for the caller to drop it by.
  Reason take(Frame& frame, uint32_t now, bool& held);

  // Swaps the next held frame that may go on with `frame`; false when there is none.
  bool release(Frame& frame);

  // Gives up what is not complete after kTimeout.
  void expire(uint32_t now);

  // When workloads come, change or go: forgets the datagrams and frames that are from or to one at a place for which
  // `same` is false. Places go up to `workloads`.
  void retain(size_t workloads, const std::function<bool(uint32_t place)>& same);

  // Room for all that is known, and that knowledge on its way to the next engine. `workloads`: places that there are.
  // restore() leaves nothing behind for another.
  static size_t saved_bytes();
  void save(uint8_t* memory) const;
  void restore(uint8_t* memory, size_t workloads);

  uint32_t datagrams() const { return kDatagrams - free_datagrams_; }
  uint32_t held() const { return kHeld - static_cast<uint32_t>(spare_.size()); }

 private:
  using Place = uint16_t;  // of a datagram or held frame; 0: none
  struct Links {
    Place older = 0, newer = 0;
  };
  struct List {
    Place oldest = 0, newest = 0;
  };
  // What a workload has. In the lists are its datagrams whose first fragment has not come, and the others.
  struct Share {
    List waiting, settled;
    uint16_t datagrams = 0, held = 0;
  };
  struct Datagram {
    Address source, destination;
    uint32_t id;
    uint32_t workload;
    bool from_north;  // at an edge pair
    uint32_t created;
    uint8_t protocol;  // IPv4: a part of the key
    // What the first fragment said.
    uint8_t flow_protocol, icmp_type, icmp_code;
    uint16_t source_port, destination_port;
    bool settled;    // the first fragment has come, or it is refused
    Reason refused;  // kNone: it is not
    Place next;      // in the bucket
    Links by_age, of_workload, by_readiness;
    Place held_first, held_last;  // frames
    bool ready;                   // the held frames may go on
    FragmentMap map;
  };
  struct Held {
    Frame* frame;
    Place next;
  };

  Place& bucket_of(const Address& source, const Address& destination, uint32_t id, uint32_t workload);
  Place find(const Frame& frame);
  Place make(const Frame& frame, uint32_t now);
  Place make(const Datagram& key, uint32_t workload, uint32_t now);
  bool restore_frame(auto& in, Place place);
  void learn(Place place, const Headers& h);
  Reason go_on(Place place, Frame& frame, bool& held);
  Reason refuse(Place place, Reason reason);
  void settle(Place place);
  void forget(Place place, Reason reason);
  bool may_hold(Place place);
  void hold(Place place, Frame& frame);
  void keep(Place place);
  void make_ready(Place place);
  void take_held(Datagram& d, Frame& frame);
  static void fill_in(const Datagram& d, Frame& frame);
  void drop_held(Place place, Reason reason);
  void append(List& list, Links Datagram::*links, Place place);
  void remove(List& list, Links Datagram::*links, Place place);

  uint64_t secret_;
  Drop drop_;
  FramePool pool_{kHeld};
  std::vector<Datagram> all_;   // place 0 is nobody's
  std::vector<Place> buckets_;  // the first of each chain
  Place free_ = 0;              // a chain by `next`
  uint32_t free_datagrams_ = kDatagrams;
  std::vector<Held> frames_;   // place 0 is nobody's
  std::vector<Place> spare_;   // of frames_
  std::vector<Share> shares_;  // by workload
  List ages_;                  // all datagrams
  List ready_;                 // those whose held frames may go on
};

}  // namespace headgate
