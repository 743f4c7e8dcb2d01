// The fragments stage against a plain, slow model of it, through the whole pipeline: fragments of datagrams of both
// families in any order, doubled, overlapping, of wrong length, without their first one, from a workload that keeps
// within bounds and from one that does not and uses the same addresses and ids. What comes out, its order, and every
// drop are as the model says; what is whole gets through; in the end nothing is left.
//
// HEADGATE_TEST_FRAGMENTS=1000000 native-tests -tc='fragments in any order*'    so many, else 30,000
#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <map>
#include <set>

#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint16_t kAllowed = 2000, kDenied = 2001;

// One fragment as a test sends it.
struct Piece {
  bool ipv6;
  uint32_t id;
  uint16_t destination_port;
  uint32_t offset, length;
  bool more;
  Bytes bytes;
  uint32_t end() const { return offset + length; }
};

struct ModelDatagram {
  std::string workload;
  bool ipv6;
  uint32_t id;
  uint32_t created;
  uint64_t settled = 0;  // when, counted in fragments; 0: its first one has not come
  Reason refused = Reason::kNone;
  uint16_t destination_port = 0;
  std::vector<Piece> pieces{};
  std::vector<Piece> held{};

  bool is(const std::string& from, const Piece& p) const { return workload == from && ipv6 == p.ipv6 && id == p.id; }
  const Piece* last() const {
    for (const Piece& p : pieces)
      if (!p.more) return &p;
    return nullptr;
  }
  bool complete() const {
    uint32_t sum = 0;
    for (const Piece& p : pieces) sum += p.length;
    return last() && sum == last()->end();
  }
  Reason fault(const Piece& piece) const {
    bool wrong = last() ? (piece.more ? piece.end() >= last()->end() : piece.end() != last()->end()) : false;
    for (const Piece& p : pieces) wrong |= !last() && !piece.more && p.end() >= piece.end();
    if (wrong) return Reason::kFragmentWrongEnd;
    for (const Piece& p : pieces) {
      if (p.offset == piece.offset && p.length == piece.length) return Reason::kFragmentDuplicate;
      if (p.offset < piece.end() && piece.offset < p.end()) return Reason::kFragmentOverlap;
    }
    return Reason::kNone;
  }
};

class Model {
 public:
  std::map<Reason, uint64_t> drops;
  std::vector<Bytes> out;

  void take(const std::string& from, const Piece& piece, uint32_t now) {
    ++clock_;
    expire(now);
    auto d = std::find_if(all_.begin(), all_.end(), [&](const auto& d) { return d.is(from, piece); });
    if (d == all_.end()) {
      make_room(from);
      if (all_.size() == FragmentTable::kDatagrams) return drop(Reason::kFragmentsFull);
      d = all_.insert(all_.end(), {from, piece.ipv6, piece.id, now});
    }
    if (d->refused != Reason::kNone) return drop(d->refused);
    if (const Reason fault = d->fault(piece); fault == Reason::kFragmentDuplicate)
      return drop(fault);
    else if (fault != Reason::kNone)
      return refuse(*d, fault);
    d->pieces.push_back(piece);
    if (piece.offset == 0) {
      d->settled = clock_;
      d->destination_port = piece.destination_port;
      if (!d->held.empty()) ready_.push_back(&*d);
      pass(*d, piece);
    } else if (!d->settled || !d->held.empty()) {
      if (!make_room_to_hold(*d)) return d->settled ? pass(*d, piece) : refuse(*d, Reason::kFragmentsFull);
      d->held.push_back(piece);
    } else {
      pass(*d, piece);
    }
    if (d->settled && d->held.empty() && d->complete()) all_.erase(d);
  }

  void end_round(uint32_t now) {
    expire(now);
    for (ModelDatagram* d : ready_) {
      for (const Piece& piece : d->held) pass(*d, piece);
      d->held.clear();
      if (d->complete()) all_.remove_if([&](const auto& other) { return &other == d; });
    }
    ready_.clear();
  }

 private:
  void drop(Reason reason, uint64_t count = 1) { drops[reason] += count; }
  void pass(const ModelDatagram& d, const Piece& piece) {
    if (d.destination_port == kAllowed)
      out.push_back(piece.bytes);
    else
      drop(Reason::kDefaultDrop);
  }
  void refuse(ModelDatagram& d, Reason reason) {
    drop(reason, d.held.size() + 1);
    d.held.clear();
    std::erase(ready_, &d);
    d.refused = reason;
    if (!d.settled) d.settled = clock_;
  }
  void forget(std::list<ModelDatagram>::iterator d, Reason reason) {
    drop(reason, d->held.size());
    std::erase(ready_, &*d);
    all_.erase(d);
  }
  void expire(uint32_t now) {
    while (!all_.empty() && now - all_.front().created >= FragmentTable::kTimeout)
      forget(all_.begin(), Reason::kFragmentTimeout);
  }
  size_t held(const std::string* of = nullptr) const {
    size_t sum = 0;
    for (const auto& d : all_)
      if (!of || d.workload == *of) sum += d.held.size();
    return sum;
  }
  size_t datagrams(const std::string& of) const {
    return static_cast<size_t>(
        std::count_if(all_.begin(), all_.end(), [&](const auto& d) { return d.workload == of; }));
  }
  std::list<ModelDatagram>::iterator oldest(const std::string& of, bool settled) {
    auto found = all_.end();
    for (auto d = all_.begin(); d != all_.end(); ++d)
      if (d->workload == of && (d->settled != 0) == settled && (found == all_.end() || d->settled < found->settled))
        found = d;
    return found;
  }
  void make_room(const std::string& from) {
    for (int i = 0; i < 2; ++i) {
      const size_t own = datagrams(from);
      if (own == 0 || own < FragmentTable::kDatagrams - all_.size()) return;
      auto waiting = oldest(from, false), settled = oldest(from, true);
      const bool first = waiting != all_.end() && (settled == all_.end() || waiting->created <= settled->created);
      forget(first ? waiting : settled, Reason::kFragmentsFull);
    }
  }
  bool make_room_to_hold(const ModelDatagram& d) {
    for (int i = 0; i < 2 && held(&d.workload) >= FragmentTable::kHeld - held(); ++i) {
      auto first = oldest(d.workload, false);
      if (first == all_.end() || &*first == &d) return false;
      forget(first, Reason::kFragmentsFull);
    }
    return held() < FragmentTable::kHeld;
  }

  uint64_t clock_ = 0;
  std::list<ModelDatagram> all_;  // by age
  std::vector<ModelDatagram*> ready_;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return n ? static_cast<uint32_t>(engine_() % n) : 0; }
  bool chance(uint32_t percent) { return below(100) < percent; }
  template <class T>
  void shuffle(std::vector<T>& all) {
    std::shuffle(all.begin(), all.end(), engine_);
  }

 private:
  std::mt19937 engine_;
};

struct Kind {
  bool ipv6;
  uint32_t id;
  uint16_t destination_port;
  Mac mac;
};

Piece piece_of(const Kind& kind, uint32_t offset, uint32_t length, bool more, uint8_t fill) {
  Packet p;
  p.source_mac = kind.mac;
  if (kind.ipv6) p.source = "fd00::1", p.destination = "fd00::2", p.fragment = true;
  p.id = kind.id;
  p.destination_port = kind.destination_port;
  p.fragment_offset = offset;
  p.more = more;
  p.payload = numbered_payload(length - p.transport_header(), fill);
  return {kind.ipv6, kind.id, kind.destination_port, offset, length, more, p.bytes()};
}

// A datagram cut at random places; the first has room for its UDP header.
std::vector<Piece> datagram(Random& random, const Kind& kind) {
  const uint32_t blocks = random.chance(5) ? 200 + random.below(7800) : 4 + random.below(300);
  const uint32_t pieces = std::min(2 + random.below(random.chance(10) ? 40 : 6), blocks / 4 + 1);
  std::set<uint32_t> cuts;
  while (cuts.size() < pieces - 1) cuts.insert(3 + random.below(blocks - 3));
  std::vector<Piece> all;
  uint32_t from = 0;
  for (uint32_t cut : cuts) {
    all.push_back(piece_of(kind, from * 8, (cut - from) * 8, true, static_cast<uint8_t>(cut)));
    from = cut;
  }
  all.push_back(piece_of(kind, from * 8, (blocks - from) * 8 - random.below(8), false, 0));
  return all;
}

// A piece that does not fit the others, whatever they are: random ones mostly overlap or end elsewhere.
Piece stray(Random& random, const Kind& kind, uint32_t blocks) {
  const uint32_t offset = random.chance(20) ? 0 : 1 + random.below(blocks + 2);
  return piece_of(kind, offset * 8, (3 + random.below(20)) * 8, offset == 0 || random.chance(70), 99);
}

struct Sent {
  std::string from;
  Piece piece;
};

TEST_CASE("fragments in any order, doubled and overlapping, go as a plain model says") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "fragments in any order*"));
  const char* given = std::getenv("HEADGATE_TEST_FRAGMENTS");
  const uint64_t wanted = given ? std::strtoull(given, nullptr, 10) : 30'000;
  Random random(seed);
  Bed bed(Action::kDrop);
  const Mac noisy_mac{2, 0, 0, 0, 0, 3};
  bed.add(workload("noisy", noisy_mac));
  RuleChange allow = rule("allow", Action::kAllow);
  allow.services = std::vector<ServiceMatch>{{kUdp, -1, -1, {{kAllowed, kAllowed}}, {}}};
  for (const char* name : {"a", "noisy"}) bed.index(name, {{}}, {{allow}});
  bed.index("b", {{allow}}, {{}});
  const uint64_t before = bed.drops();

  Model model;
  uint64_t count = 0, held_most = 0, legitimate = 0;
  for (uint32_t id = 1; count < wanted;) {
    // A window of datagrams whose fragments are mixed.
    std::vector<Sent> window;
    std::multiset<Bytes> due;
    while (window.size() < 120) {
      Kind kind{random.chance(50), id++ & 0xffff, random.chance(80) ? kAllowed : kDenied, kTestSource};
      std::vector<Piece> pieces = datagram(random, kind);
      const uint32_t blocks = pieces.back().end() / 8;
      if (pieces.size() + window.size() > 160) continue;
      bool sound = true;
      if (random.chance(20)) pieces.push_back(pieces[random.below(static_cast<uint32_t>(pieces.size()))]);
      if (random.chance(10)) pieces.push_back(stray(random, kind, blocks)), sound = false;
      if (random.chance(5)) pieces.erase(pieces.begin() + random.below(2)), sound = false;
      if (sound && kind.destination_port == kAllowed) {
        ++legitimate;
        std::set<uint32_t> offsets;
        for (const Piece& p : pieces)
          if (offsets.insert(p.offset).second) due.insert(p.bytes);
      }
      for (Piece& p : pieces) window.push_back({"a", std::move(p)});
      while (random.chance(70)) {
        kind.mac = noisy_mac;
        if (random.chance(70)) kind.id = random.below(65536);
        window.push_back({"noisy", stray(random, kind, blocks)});
      }
    }
    if (random.chance(90)) random.shuffle(window);
    for (size_t at = 0; at < window.size();) {
      const size_t end = std::min(window.size(), at + 1 + random.below(60));
      for (const char* from : {"a", "noisy"})
        for (size_t i = at; i < end; ++i)
          if (window[i].from == from) {
            bed.send(from, window[i].piece.bytes);
            model.take(from, window[i].piece, bed.now());
          }
      model.end_round(bed.now());
      bed.run();
      const std::vector<MemoryFrame> got = bed.take("b");
      REQUIRE(got.size() == model.out.size());
      for (size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].bytes == model.out[i]);
        if (auto found = due.find(got[i].bytes); found != due.end()) due.erase(found);
      }
      model.out.clear();
      REQUIRE(bed.context().fragments.held() <= FragmentTable::kHeld);
      REQUIRE(bed.context().fragments.datagrams() <= FragmentTable::kDatagrams);
      held_most = std::max<uint64_t>(held_most, bed.context().fragments.held());
      count += end - at;
      at = end;
      if (random.chance(30)) bed.pass(random.below(300));
    }
    REQUIRE(due.empty());  // what is whole got through
  }
  bed.pass(FragmentTable::kTimeout);
  model.end_round(bed.now());
  bed.run();
  for (const auto& [reason, drops] : model.drops)
    CHECK_MESSAGE(bed.drops(reason) == drops, kReasonTexts[static_cast<size_t>(reason)].name);
  uint64_t expected = before;
  for (const auto& [reason, drops] : model.drops) expected += drops;
  CHECK(bed.drops() == expected);
  CHECK(bed.context().fragments.datagrams() == 0);
  CHECK(bed.context().fragments.held() == 0);
  for (Reason reason : {Reason::kFragmentDuplicate, Reason::kFragmentOverlap, Reason::kFragmentWrongEnd,
                        Reason::kFragmentTimeout, Reason::kFragmentsFull, Reason::kDefaultDrop})
    CHECK_MESSAGE(model.drops[reason] > 0, kReasonTexts[static_cast<size_t>(reason)].name);
  CHECK(legitimate > wanted / 20);
  if (given) {
    MESSAGE(count, " fragments, ", legitimate, " whole datagrams, at most ", held_most, " frames held");
  }
}

}  // namespace
}  // namespace headgate::test
