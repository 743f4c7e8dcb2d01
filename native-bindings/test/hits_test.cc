// Hit counters: one place per (rule, workload, direction), kept, forgotten, full.
#include "tables/hits.h"

#include <doctest/doctest.h>

#include <set>

namespace headgate::test {
namespace {

TEST_CASE("each pair and direction has a place of its own, and always the same") {
  HitTable table(1024);
  std::set<uint32_t> places;
  for (uint32_t rule = 0; rule < 10; ++rule)
    for (uint32_t workload = 1; workload <= 10; ++workload)
      for (Direction d : {Direction::kIn, Direction::kOut}) places.insert(table.place(rule, workload, d));
  CHECK(places.size() == 200);
  CHECK(places.count(0) == 0);
  const uint32_t place = table.place(3, 4, Direction::kOut);
  CHECK(table[place].rule == 3);
  CHECK(table[place].workload == 4);
  CHECK(table[place].direction == Direction::kOut);
  table[place].packets = 77;
  CHECK(table[table.place(3, 4, Direction::kOut)].packets == 77);
  uint32_t seen = 0;
  table.each([&](const Hit&) { ++seen; });
  CHECK(seen == 200);
}

TEST_CASE("what is forgotten is gone, the rest stays where it was, and room is used again") {
  HitTable table(256);
  std::vector<uint32_t> before;
  for (uint32_t i = 1; i <= 100; ++i) {
    before.push_back(table.place(i, 1, Direction::kIn));
    table[before.back()].flows = i;
  }
  table.forget([](const Hit& hit) { return hit.rule % 2 == 0; });
  for (uint32_t i = 1; i <= 100; i += 2) CHECK(table.place(i, 1, Direction::kIn) == before[i - 1]);
  for (uint32_t i = 2; i <= 100; i += 2) CHECK(table[table.place(i, 1, Direction::kIn)].flows == 0);
  for (int round = 0; round < 50; ++round) {
    for (uint32_t i = 0; i < 100; ++i) REQUIRE(table.place(1000 + i, 2, Direction::kIn) != 0);
    table.forget([](const Hit& hit) { return hit.workload == 2; });
  }
}

TEST_CASE("a table is crowded when half of it is used") {
  HitTable table(256);
  for (uint32_t i = 1; i <= 128; ++i) table.place(i, 1, Direction::kIn);
  CHECK_FALSE(table.crowded());
  table.place(129, 1, Direction::kIn);
  CHECK(table.crowded());
  table.forget([](const Hit& hit) { return hit.rule < 100; });
  CHECK_FALSE(table.crowded());
}

TEST_CASE("in a full table further pairs share place 0, which is no entry of its own") {
  HitTable table(64);
  uint32_t shared = 0;
  for (uint32_t i = 1; i <= 200; ++i) shared += table.place(i, 1, Direction::kIn) == 0;
  CHECK(shared == 200 - 63);
  uint32_t seen = 0;
  table.each([&](const Hit&) { ++seen; });
  CHECK(seen == 63);
}

TEST_CASE("log lines: a burst of twenty, then ten a second") {
  Hit hit;
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
