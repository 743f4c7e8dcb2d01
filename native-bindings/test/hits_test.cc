// Hit counters: one place per (entry, workload, direction), kept, forgotten, full.
#include "tables/hits.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>

#include "test/frames.h"

namespace headgate::test {
namespace {

uint32_t seen_in(const HitTable& table) {
  uint32_t seen = 0;
  CHECK(table.walk(0, UINT32_MAX, [&](const Hit&) { ++seen; }) == 0);
  return seen;
}

TEST_CASE("each pair and direction has a place of its own, and always the same") {
  HitTable table(1024);
  std::set<uint32_t> places;
  for (uint32_t rule = 0; rule < 10; ++rule)
    for (uint32_t workload = 1; workload <= 10; ++workload)
      for (Direction d : {Direction::kIn, Direction::kOut}) places.insert(table.place(rule, workload, d));
  CHECK(places.size() == 200);
  CHECK(places.count(0) == 0);
  const uint32_t place = table.place(3, 4, Direction::kOut);
  CHECK(table[place].entry == 3);
  CHECK(table[place].workload == 4);
  CHECK(table[place].direction == Direction::kOut);
  table[place].packets = 77;
  CHECK(table[table.place(3, 4, Direction::kOut)].packets == 77);
  CHECK(seen_in(table) == 200);
  CHECK(table.size() == 200);
}

TEST_CASE("what is forgotten is gone, the rest stays where it was, and room is used again") {
  HitTable table(256);
  std::vector<uint32_t> before;
  for (uint32_t i = 1; i <= 100; ++i) {
    before.push_back(table.place(i, 1, Direction::kIn));
    table[before.back()].flows = i;
  }
  table.forget(0, 1000, [](const Hit& hit) { return hit.entry % 2 == 0; });
  for (uint32_t i = 1; i <= 100; i += 2) CHECK(table.place(i, 1, Direction::kIn) == before[i - 1]);
  for (uint32_t i = 2; i <= 100; i += 2) CHECK(table[table.place(i, 1, Direction::kIn)].flows == 0);
  for (int round = 0; round < 50; ++round) {
    for (uint32_t i = 0; i < 100; ++i) REQUIRE(table.place(1000 + i, 2, Direction::kIn) != 0);
    table.forget(0, 1000, [](const Hit& hit) { return hit.workload == 2; });
  }
}

TEST_CASE("a table is crowded when half of it is used") {
  HitTable table(256);
  for (uint32_t i = 1; i <= 128; ++i) table.place(i, 1, Direction::kIn);
  CHECK_FALSE(table.crowded());
  table.place(129, 1, Direction::kIn);
  CHECK(table.crowded());
  table.forget(0, 1000, [](const Hit& hit) { return hit.entry < 100; });
  CHECK_FALSE(table.crowded());
}

TEST_CASE("in a full table further pairs share place 0, which is no entry of its own") {
  HitTable table(64);
  uint32_t shared = 0;
  for (uint32_t i = 1; i <= 200; ++i) shared += table.place(i, 1, Direction::kIn) == 0;
  CHECK(shared == 200 - 63);
  CHECK(seen_in(table) == 63);
}

TEST_CASE("walks go in slices, and visit what is used alone") {
  HitTable table;
  CHECK(table.walk(0, 10, [](const Hit&) { FAIL("nothing is used"); }) == 0);
  std::set<uint32_t> wanted, seen;
  for (uint32_t i = 1; i <= 100; ++i) {
    table.place(i, 1, Direction::kIn);
    if (i % 3) wanted.insert(i);
  }
  table.forget(0, 1000, [](const Hit& hit) { return hit.entry % 3 == 0; });
  uint32_t from = 0, slices = 0;
  do {
    uint32_t visits = 0;
    from = table.walk(from, 30, [&](const Hit& hit) { ++visits, seen.insert(hit.entry); });
    CHECK(visits <= 30);
    ++slices;
  } while (from);
  CHECK(slices == 4);
  CHECK(seen == wanted);
}

// A million pairs fit; those that are not met take no memory.
TEST_CASE("memory goes with the pairs that were met") {
  const auto resident = [] {
    unsigned long pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return pages * 4096;
  };
  const size_t before = resident();
  HitTable table;
  for (uint32_t i = 1; i <= 1000; ++i) table.place(i, 1, Direction::kIn);
  CHECK(resident() - before < 4'000'000);
  for (uint32_t i = 1; i < 1 << 20; ++i) REQUIRE(table.place(i, 1, Direction::kIn) != 0);
  CHECK(table.place(1 << 20, 1, Direction::kIn) == 0);
}

// Model: a map from pairs to counts.
TEST_CASE("property: places are those of a map, whatever comes and goes") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: places are those of a map, whatever comes and goes"));
  std::mt19937 random(seed);
  HitTable table(512);
  std::map<std::tuple<uint32_t, uint32_t, Direction>, uint64_t> model;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 500 == 0) {
      const uint32_t bit = random() % 4;
      const auto gone = [&](uint32_t entry) { return entry % 4 == bit; };
      table.forget(0, 1000, [&](const Hit& hit) { return gone(hit.entry); });
      std::erase_if(model, [&](const auto& pair) { return gone(std::get<0>(pair.first)); });
    }
    const uint32_t entry = random() % 60, workload = 1 + random() % 6;
    const auto direction = static_cast<Direction>(random() % 2);
    const uint32_t place = table.place(entry, workload, direction);
    const auto known = model.find({entry, workload, direction});
    REQUIRE((place == 0) == (known == model.end() && model.size() == 511));
    if (!place) continue;
    REQUIRE(table[place].flows == model[{entry, workload, direction}]);
    table[place].flows = ++model[{entry, workload, direction}];
  }
  CHECK(table.size() == model.size());
  CHECK(seen_in(table) == model.size());
}

TEST_CASE("log lines: a burst of twenty, then ten a second") {
  Hit hit{};
  const auto taken = [&](uint32_t now, int tries) {
    int count = 0;
    while (tries--) count += hit.take_log_token(now);
    return count;
  };
  CHECK(taken(1'000'000, 50) == 20);
  CHECK(taken(1'000'099, 5) == 0);
  CHECK(taken(1'000'100, 5) == 1);
  CHECK(taken(1'001'100, 50) == 10);
  CHECK(taken(2'000'000, 50) == 20);
}

}  // namespace
}  // namespace headgate::test
