// Who is behind a MAC: learning, pinning, moving, ageing, and the limits.
#include "tables/mac_table.h"

#include <doctest/doctest.h>

#include "test/frames.h"

namespace headgate::test {
namespace {

using Learned = MacTable::Learned;

Mac mac(uint32_t n) {
  return {2, 0, 0, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
}

TEST_CASE("a MAC is found where it was learned, and moves with its last sender") {
  MacTable table;
  CHECK(table.find(mac(1).data(), 10) == kNoWorkload);
  CHECK(table.learn(mac(1).data(), 0, 10) == Learned::kYes);
  CHECK(table.find(mac(1).data(), 10) == 0);
  CHECK(table.learn(mac(1).data(), MacTable::kMostWorkload, 11) == Learned::kYes);
  CHECK(table.find(mac(1).data(), 11) == MacTable::kMostWorkload);
  CHECK(table.find(mac(2).data(), 11) == kNoWorkload);
  CHECK(table.find(Mac{}.data(), 11) == kNoWorkload);
}

TEST_CASE("a learned MAC ages, each frame makes it young again") {
  MacTable table;
  table.learn(mac(1).data(), 5, 1000);
  CHECK(table.find(mac(1).data(), 1300) == 5);
  CHECK(table.find(mac(1).data(), 1301) == kNoWorkload);
  table.learn(mac(1).data(), 5, 1200);
  CHECK(table.find(mac(1).data(), 1500) == 5);
  CHECK(table.find(mac(1).data(), 1501) == kNoWorkload);
}

TEST_CASE("a pinned MAC neither moves nor ages") {
  MacTable table;
  table.learn(mac(1).data(), 9, 0);
  REQUIRE(table.pin(mac(1), 3));
  CHECK(table.find(mac(1).data(), 0) == 3);
  CHECK(table.learn(mac(1).data(), 9, 1) == Learned::kPinnedElsewhere);
  CHECK(table.learn(mac(1).data(), 3, 1) == Learned::kYes);
  CHECK(table.find(mac(1).data(), 1'000'000) == 3);
}

TEST_CASE("a workload learns its share of MACs and not one more, until they age") {
  MacTable table;
  for (uint32_t i = 0; i < MacTable::kLearnedPerWorkload; ++i)
    REQUIRE(table.learn(mac(i).data(), 1, 10) == Learned::kYes);
  CHECK(table.learn(mac(999).data(), 1, 10) == Learned::kNoRoom);
  CHECK(table.learn(mac(5).data(), 1, 10) == Learned::kYes);
  CHECK(table.learn(mac(999).data(), 2, 10) == Learned::kYes);
  CHECK(table.learn(mac(1000).data(), 1, 311) == Learned::kYes);
}

TEST_CASE("forgetting a workload takes its MACs, pinned ones too, and nobody else's") {
  MacTable table;
  table.learn(mac(1).data(), 1, 0);
  table.pin(mac(2), 1);
  table.learn(mac(3).data(), 2, 0);
  table.forget(1);
  CHECK(table.find(mac(1).data(), 0) == kNoWorkload);
  CHECK(table.find(mac(2).data(), 0) == kNoWorkload);
  CHECK(table.find(mac(3).data(), 0) == 2);
}

TEST_CASE("the table fills up with a refusal and loses nobody") {
  MacTable table;
  std::vector<uint32_t> learned;
  uint32_t refused = 0;
  for (uint32_t i = 0; i < 2 * MacTable::kSlots; ++i) {
    if (table.learn(mac(i).data(), i / 60, 0) == Learned::kYes)
      learned.push_back(i);
    else
      ++refused;
  }
  CHECK(refused >= MacTable::kSlots);
  for (uint32_t i : learned) REQUIRE(table.find(mac(i).data(), 0) == i / 60);
}

// As many as the publisher lets a segment have.
TEST_CASE("half a table of pinned MACs finds room, in a row and at random") {
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    MacTable table;
    std::vector<Mac> macs;
    for (uint32_t i = 0; i < MacTable::kSlots / 2; ++i)
      macs.push_back(round == 0 ? mac(i)
                                : Mac{2, 0, static_cast<uint8_t>(random()), static_cast<uint8_t>(random()),
                                      static_cast<uint8_t>(random()), static_cast<uint8_t>(random())});
    uint32_t failed = 0;
    for (uint32_t i = 0; i < macs.size(); ++i) failed += !table.pin(macs[i], i);
    CHECK(failed == 0);
  }
}

}  // namespace
}  // namespace headgate::test
