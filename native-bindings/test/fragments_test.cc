// What the fragment table lets go, holds and refuses, of whom, for how long, and how much of it. What it does with any
// mixture of fragments is in fragments_model_test.cc.
#include "tables/fragments.h"

#include <doctest/doctest.h>

#include "packet/parse.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

// A part of a UDP datagram: id, place and length in bytes behind the IP header.
Packet part(uint32_t id, uint32_t offset, uint32_t length, bool more) {
  Packet p;
  p.id = id;
  p.fragment_offset = offset;
  p.more = more;
  p.payload = Bytes(offset ? length : length - 8, static_cast<uint8_t>(offset / 8));
  return p;
}

// A table beside whatever it drops. Workloads are 0 to 9.
struct Table {
  std::vector<std::pair<uint32_t, Reason>> drops;  // id, reason
  FragmentTable table{42, [this](Frame& f, Reason r) { drops.emplace_back(f.headers.fragment_id, r); }};
  FramePool pool{1};
  Frame* frame = pool.acquire();

  Table() {
    table.retain(10, [](uint32_t) { return true; });
  }
  // "goes", "held", or the name of the reason.
  std::string take(const Packet& p, uint32_t workload = 0, uint32_t now = 1000) {
    FramePool::clear(*frame);
    const Bytes bytes = p.bytes();
    std::memcpy(frame->data, bytes.data(), bytes.size());
    frame->length = static_cast<uint32_t>(bytes.size());
    REQUIRE(parse(*frame) == Reason::kNone);
    frame->source_workload = workload;
    frame->destination_workload = 9;
    bool held;
    const Reason reason = table.take(*frame, now, held);
    if (reason != Reason::kNone) return kReasonTexts[static_cast<size_t>(reason)].name;
    return held ? "held" : "goes";
  }
  // Offsets of the frames that are let go, in order.
  std::vector<int> released() {
    std::vector<int> offsets;
    while (table.release(*frame)) {
      CHECK(frame->joined);
      CHECK(frame->headers.destination_port == 2000);
      offsets.push_back(frame->part.offset);
    }
    return offsets;
  }
  uint64_t dropped(Reason reason) const {
    return static_cast<uint64_t>(
        std::count_if(drops.begin(), drops.end(), [&](auto& d) { return d.second == reason; }));
  }
};

TEST_CASE("a map of fragments says what a list of ranges says") {
  struct Range {
    uint32_t from, to;
    bool more;
  };
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "a map of fragments says*"));
  std::mt19937 engine(seed);
  const auto random = [&] { return static_cast<uint32_t>(engine()); };
  FragmentMap map;
  int complete = 0;
  for (int round = 0; round < 3000; ++round) {
    map.clear();
    std::vector<Range> ranges;
    const uint32_t blocks = round % 10 ? 2 + random() % 20 : 8191;
    for (int i = 0; i < 60; ++i) {
      const uint32_t from = random() % blocks, size = 1 + random() % std::min(blocks - from, round % 10 ? 5u : 3000u);
      const bool more = from + size < blocks || random() % 10 == 0;
      const Range r{from * 8, (from + size) * 8 - (more ? 0 : random() % 2 * 3), more};
      const Range* last = nullptr;
      bool beyond = false, same = false, overlap = false;
      for (const Range& other : ranges) {
        if (!other.more) last = &other;
        beyond |= other.to >= r.to;
        same |= other.from == r.from && other.to == r.to;
        overlap |= other.from < r.to && r.from < other.to;
      }
      const bool wrong = last ? (more ? r.to >= last->to : r.to != last->to) : !more && beyond;
      using Part = FragmentMap::Part;
      const Part expected = wrong ? Part::kWrongEnd : same ? Part::kDuplicate : overlap ? Part::kOverlap : Part::kNew;
      REQUIRE(map.add(r.from, r.to - r.from, more) == expected);
      if (expected == Part::kNew) ranges.push_back(r);
      uint32_t sum = 0, end = 0;
      for (const Range& other : ranges) {
        sum += other.to - other.from;
        if (!other.more) end = other.to;
      }
      REQUIRE(map.complete() == (end && sum == end));
      complete += map.complete();
    }
  }
  CHECK(complete > 1000);
}

TEST_CASE("later fragments wait for their first and go on in the order in which they came") {
  Table t;
  CHECK(t.take(part(7, 64, 10, false)) == "held");
  CHECK(t.take(part(7, 24, 16, true)) == "held");
  CHECK(t.released().empty());
  CHECK(t.take(part(7, 0, 24, true)) == "goes");
  CHECK(t.take(part(7, 40, 16, true)) == "held");  // not before those
  CHECK(t.released() == std::vector{64, 24, 40});
  CHECK(t.table.datagrams() == 1);
  CHECK(t.take(part(7, 56, 8, true)) == "goes");
  CHECK(t.frame->headers.destination_port == 2000);
  CHECK(t.table.datagrams() == 0);  // it is complete
  CHECK(t.table.held() == 0);
  CHECK(t.drops.empty());
}

TEST_CASE("another id, workload, protocol, source or destination is another datagram") {
  Table t;
  REQUIRE(t.take(part(7, 0, 24, true)) == "goes");
  CHECK(t.take(part(8, 24, 8, true)) == "held");
  CHECK(t.take(part(7, 24, 8, true), 1) == "held");
  Packet other = part(7, 24, 8, true);
  other.protocol = kTcp;
  CHECK(t.take(other) == "held");
  other = part(7, 24, 8, true);
  other.source = "10.9.0.3";
  CHECK(t.take(other) == "held");
  other = part(7, 24, 8, true);
  other.destination = "10.9.0.3";
  CHECK(t.take(other) == "held");
  std::swap(other.source, other.destination);
  CHECK(t.take(other) == "held");
  CHECK(t.take(part(7, 24, 8, true)) == "goes");
}

TEST_CASE("an IPv6 datagram is one whatever its later fragments say is their protocol") {
  Table t;
  Packet first = part(7, 0, 24, true);
  first.source = "fd00::1", first.destination = "fd00::2", first.fragment = true;
  Packet later = first;
  later.fragment_offset = 24;
  later.protocol = 60;  // destination options: what the fragment header names where they are in the first fragment
  CHECK(t.take(later) == "held");
  CHECK(t.take(first) == "goes");
  REQUIRE(t.table.release(*t.frame));
  CHECK(t.frame->headers.protocol == kUdp);
}

TEST_CASE("an overlap ends the datagram, with what was held and all that follows") {
  for (bool first_last : {false, true}) {
    CAPTURE(first_last);
    Table t;
    if (!first_last) CHECK(t.take(part(7, 0, 24, true)) == "goes");
    const std::string later = first_last ? "held" : "goes";
    CHECK(t.take(part(7, 24, 16, true)) == later);
    CHECK(t.take(part(7, 40, 16, true)) == later);
    CHECK(t.take(part(7, 32, 16, true)) == "fragment-overlap");
    CHECK(t.drops.size() == (first_last ? 2 : 0));
    CHECK(t.dropped(Reason::kFragmentOverlap) == t.drops.size());
    CHECK(t.take(part(7, 0, 24, true)) == "fragment-overlap");
    CHECK(t.take(part(7, 56, 8, false)) == "fragment-overlap");
    CHECK(t.released().empty());
    CHECK(t.take(part(7, 24, 16, true), 0, 31'000) == "held");  // by now it is another one
  }
}

TEST_CASE("nothing overwrites a TCP header (RFC 1858, RFC 3128)") {
  for (bool reversed : {false, true}) {
    Table t;
    Packet first;
    first.protocol = kTcp;
    first.more = true;
    first.payload = Bytes(12);  // 32 bytes, so the flags are in it
    Packet tiny = first;
    tiny.fragment_offset = 8;
    tiny.payload = Bytes(8);
    CHECK(t.take(reversed ? tiny : first) == (reversed ? "held" : "goes"));
    CHECK(t.take(reversed ? first : tiny) == "fragment-overlap");
  }
}

TEST_CASE("a fragment that came before is dropped alone, a first one too") {
  Table t;
  CHECK(t.take(part(7, 24, 16, true)) == "held");
  CHECK(t.take(part(7, 24, 16, true)) == "fragment-duplicate");
  CHECK(t.take(part(7, 0, 24, true)) == "goes");
  Packet other_port = part(7, 0, 24, true);
  other_port.destination_port = 22;
  CHECK(t.take(other_port) == "fragment-duplicate");
  CHECK(t.released() == std::vector{24});
  CHECK(t.take(part(7, 24, 16, true)) == "fragment-duplicate");
  CHECK(t.take(part(7, 40, 5, false)) == "goes");
}

TEST_CASE("fragments that disagree about where the datagram ends are refused") {
  const auto both = [](const Packet& one, const Packet& other) {
    Table t;
    REQUIRE(t.take(part(7, 0, 24, true)) == "goes");
    REQUIRE(t.take(one) == "goes");
    return t.take(other);
  };
  CHECK(both(part(7, 48, 8, false), part(7, 64, 8, true)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, false), part(7, 64, 8, false)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, false), part(7, 32, 8, false)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, false), part(7, 48, 8, true)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, true), part(7, 32, 8, false)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, false), part(7, 48, 7, false)) == "fragment-wrong-end");
  CHECK(both(part(7, 48, 8, false), part(7, 32, 8, true)) == "goes");
}

TEST_CASE("what is not complete after half a minute is given up") {
  Table t;
  CHECK(t.take(part(7, 24, 16, true), 0, 1000) == "held");
  CHECK(t.take(part(7, 40, 16, true), 0, 30'999) == "held");
  CHECK(t.take(part(8, 0, 24, true), 0, 20'000) == "goes");
  t.table.expire(30'999);
  CHECK(t.drops.empty());
  t.table.expire(31'000);
  CHECK(t.dropped(Reason::kFragmentTimeout) == 2);
  CHECK(t.table.datagrams() == 1);
  CHECK(t.take(part(7, 0, 24, true), 0, 31'000) == "goes");
  CHECK(t.released().empty());
  CHECK(t.take(part(8, 24, 16, true), 0, 50'000) == "held");  // the first was forgotten
}

TEST_CASE("what one workload does not finish leaves room for the others") {
  Table t;
  for (uint32_t id = 0; id < 100'000; ++id) {
    t.take(part(id % 60'000, 24, 16, true), 1 + id % 3);
    REQUIRE(t.table.held() <= FragmentTable::kHeld);
    if (id % 100 || id < 1000) continue;
    // Workload 0 has 40 frames held at a time, and loses none.
    for (uint32_t i = 1; i <= 40; ++i) REQUIRE(t.take(part(7, i * 24, 24, i < 40), 0) == "held");
    REQUIRE(t.take(part(7, 0, 24, true), 0) == "goes");
    REQUIRE(t.released().size() == 40);
  }
  CHECK(t.dropped(Reason::kFragmentsFull) > 95'000);
  CHECK(std::none_of(t.drops.begin(), t.drops.end(), [](auto& d) { return d.second != Reason::kFragmentsFull; }));
}

TEST_CASE("unfinished datagrams that hold nothing leave room too") {
  Table t;
  for (uint32_t id = 0; id < 20'000; ++id) {
    t.take(part(id, 0, 24, true), 1 + id % 3);
    REQUIRE(t.table.datagrams() <= FragmentTable::kDatagrams);
  }
  CHECK(t.table.datagrams() > FragmentTable::kDatagrams / 2);
  for (uint32_t id = 1; id <= 200; ++id) REQUIRE(t.take(part(id, 0, 24, true), 0) == "goes");
  for (uint32_t id = 1; id <= 200; ++id) REQUIRE(t.take(part(id, 24, 24, false), 0) == "goes");
}

TEST_CASE("a datagram of more fragments than may be held is refused") {
  Table t;
  uint32_t held = 0;
  std::string last;
  for (uint32_t i = 1; i <= FragmentTable::kHeld && last != "fragments-full"; ++i) {
    last = t.take(part(7, i * 8, 8, true));
    held += last == "held";
  }
  CHECK(held == FragmentTable::kHeld / 2);
  CHECK(t.dropped(Reason::kFragmentsFull) == held);
  CHECK(t.table.held() == 0);
  CHECK(t.take(part(7, 0, 8, true)) == "fragments-full");
}

TEST_CASE("workloads that go or change take their fragments with them, and nobody else's") {
  Table t;
  t.take(part(1, 24, 16, true), 1);
  t.take(part(2, 24, 16, true), 2);
  t.take(part(3, 0, 24, true), 1);
  t.table.retain(10, [](uint32_t place) { return place != 1; });
  CHECK(t.dropped(Reason::kPortUnbound) == 1);
  CHECK(t.table.datagrams() == 1);
  t.table.retain(10, [](uint32_t place) { return place != 9; });  // where the frame was going
  CHECK(t.dropped(Reason::kPortUnbound) == 2);
  CHECK(t.table.held() == 0);
}

TEST_CASE("held frames live through a change of rules and of other workloads, and not of their own") {
  Bed bed;
  const auto later = [](uint32_t id) { return part(id, 24, 16, false); };
  const auto first = [](uint32_t id) { return part(id, 0, 24, true); };
  CHECK(bed.reached("a", later(1), "b") == 0);
  bed.index("b", {{rule("r", Action::kAllow)}}, {{}});
  bed.add(workload("c"));
  CHECK(bed.reached("a", first(1), "b") == 2);
  CHECK(bed.reached("a", later(2), "b") == 0);
  Delta delta;
  delta.set_workloads.push_back(workload("a", kTestSource, {{"10.9.0.1"}}));
  bed.publish(delta);
  CHECK(bed.drops(Reason::kPortUnbound) == 1);
  CHECK(bed.reached("a", first(2), "b") == 1);
  CHECK(bed.reached("a", later(2), "b") == 1);
}

}  // namespace
}  // namespace headgate::test
