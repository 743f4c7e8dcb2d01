// What a change leaves as it was: epochs of workloads that it does not touch, serials, what generations share.
#include "tables/publisher.h"

#include <doctest/doctest.h>

#include <set>

#include "ports/memory.h"
#include "test/publisher_policy.h"

namespace headgate::test {
namespace {

// Which of a, b and c got a new epoch.
std::string touched(Publisher& publisher, const Delta& delta) {
  const auto before = publisher.build();
  const Refusal refusal = publisher.apply(delta);
  REQUIRE_MESSAGE(!refusal, refusal.message);
  const auto after = publisher.build();
  std::string names;
  std::set<uint32_t> epochs;
  for (size_t i = 0; i < after->workloads.size(); ++i) {
    if (!after->workloads[i]) continue;
    CHECK(epochs.insert(after->epochs[i]).second);
    if (i >= before->workloads.size() || !before->workloads[i] || before->epochs[i] != after->epochs[i])
      names += after->workloads[i]->name;
  }
  return names;
}

TEST_CASE("a change gives a new epoch to exactly the workloads that it touches") {
  Publisher publisher;
  CHECK(touched(publisher, base()) == "abc");
  Delta d;
  CHECK(touched(publisher, d) == "");
  d.set_rules = {rule("r3", Action::kDrop)};  // nobody refers to it
  CHECK(touched(publisher, d) == "");
  d = {};
  d.set_address_sets = {{"s2", "2", {"fd01::/16"}}};  // of r2, which nobody refers to
  CHECK(touched(publisher, d) == "");
  d.set_address_sets = {{"s1", "2", {"10.0.0.0/9"}}};  // of r1, of e1, of A
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.edit_address_sets = {{"s1", "3", {"10.128.0.0/9"}, {}}};
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_rules = {rule_from("r1", {"s2"})};
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_address_sets = {{"s1", "4", {}}};  // r1 is of s2 now
  CHECK(touched(publisher, d) == "");
  d = {};
  d.set_entries = {entry("e2", "r1", 200, "AB")};
  CHECK(touched(publisher, d) == "ab");
  CHECK(touched(publisher, d) == "");  // as it is
  d.set_entries = {entry("e2", "r1", 201, "AB")};
  CHECK(touched(publisher, d) == "ab");
  d = {};
  d.edit_address_sets = {{"s2", "3", {}, {"fd00::/17"}}};
  CHECK(touched(publisher, d) == "ab");
  d = {};
  d.edit_scopes = {{"AB", "2", {"c"}, {"a"}}};  // c comes, a goes, b stays
  CHECK(touched(publisher, d) == "ac");
  d = {};
  d.edit_scopes = {{"AB", "3", {"a", "b"}, {}}};  // b is in it already
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_scopes = {{"AB", "4", {"c", "b"}}};
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_entries = {entry("e2", "r1", 201, "A")};  // from AB to A
  CHECK(touched(publisher, d) == "abc");
  d = {};
  d.set_scopes = {{"AB", "5", {"a"}}, {"C", "1", {"c"}}};  // nothing applies to them
  CHECK(touched(publisher, d) == "");
  d = {};
  d.set_entries = {entry("e3", "r3", 300, "AB")};
  d.edit_scopes = {{"AB", "6", {"b"}, {"a"}}};  // in the same change
  CHECK(touched(publisher, d) == "b");
  d = {};
  d.remove_entries = {"e3"};
  d.edit_scopes = {{"AB", "7", {"c"}, {}}};
  CHECK(touched(publisher, d) == "bc");  // c is never under e3, but it may be judged twice
  d = {};
  d.set_workloads = {workload("c", {}, {}, "dmz")};
  CHECK(touched(publisher, d) == "c");
  d = {};
  d.set_segments = {{"dmz", "2", 11, 0, "t2"}};
  CHECK(touched(publisher, d) == "");
  d = {};
  d.timeouts = Timeouts{};
  CHECK(touched(publisher, d) == "");
  d = {};
  d.default_action = Action::kDrop;  // as before
  CHECK(touched(publisher, d) == "");
  d.default_action = Action::kAllow;
  CHECK(touched(publisher, d) == "abc");
  d = {};
  d.remove_workloads = {"c"};
  d.remove_scopes = {"C"};
  d.edit_scopes = {{"AB", "8", {}, {"c"}}};
  CHECK(touched(publisher, d) == "");
}

// Numbers of 32 bits run out after years, or days where many workloads change every second.
TEST_CASE("when all epochs have been used every workload gets a new one, and none has that of another") {
  Publisher publisher(Publisher::kMostSlots, UINT32_MAX - 3);
  CHECK(touched(publisher, base()) == "abc");
  Delta d;
  d.set_scopes = {{"AB", "2", {}}};
  CHECK(touched(publisher, d) == "");  // in no entry
  d = {};
  d.remove_entries = {"e1"};
  CHECK(touched(publisher, d) == "abc");  // a takes the last number
  const auto generation = publisher.build();
  for (uint32_t i = 0; i < 3; ++i) CHECK(generation->epochs[i] != 0);
  d = {};
  d.set_entries = {entry("e1", "r1", 100, "A")};
  CHECK(touched(publisher, d) == "a");
}

TEST_CASE("entries and workloads keep their serials while they are edited, and never get an old one") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const auto workload_serial = [&](const char* name) { return (*publisher.find_workload(name))->serial; };
  const auto decides = [&]() -> IndexEntry {
    const auto generation = publisher.build();
    FlowHeaders flow;
    flow.source = address_of("10.0.0.1");
    const IndexEntry* found = generation->lookup->first_match(publisher.find_place("a"), Direction::kIn, flow, 0);
    REQUIRE(found);
    return *found;
  };
  const uint32_t a = workload_serial("a"), e1 = decides().serial;
  CHECK(publisher.entry_id(e1) == "e1");
  Delta d;
  d.set_workloads = {workload("a", kTestSource, {{"10.0.0.1"}})};
  d.set_rules = {rule("r1", Action::kReject)};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(workload_serial("a") == a);
  CHECK(decides().serial == e1);
  CHECK(decides().rule->action == Action::kReject);
  d = {};
  d.set_rules = {rule("r9", Action::kPass)};
  d.set_entries = {{"e1", "2", "r9", 0, 7, true, false, "AB"}};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(decides().serial == e1);
  CHECK(decides().rule->action == Action::kPass);
  CHECK(decides().order == 7);
  CHECK(decides().next_category() == uint64_t{1} << 50);
  CHECK(publisher.inventory().entries.at("e1").digest == "2");
  d = {};
  d.remove_workloads = {"a"};
  d.remove_entries = {"e1"};
  d.remove_scopes = {"A", "AB"};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.workload_name(a) == "");
  CHECK(publisher.entry_id(e1) == "");
  publisher.build();
  REQUIRE_FALSE(publisher.apply(base()));
  CHECK(workload_serial("a") != a);
  CHECK(decides().serial != e1);
}

TEST_CASE("what a change leaves alone is shared with the generation before") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const auto first = publisher.build();
  Delta d;
  d.set_rules = {rule("r1", Action::kReject)};
  REQUIRE_FALSE(publisher.apply(d));
  const auto second = publisher.build();
  CHECK(second->topology == first->topology);
  CHECK(second->epochs_held != first->epochs_held);
  d = {};
  d.timeouts = Timeouts{};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.build()->epochs_held == second->epochs_held);
  auto attached = std::make_shared<AttachedPort>();
  attached->port = std::make_unique<MemoryPort>();
  REQUIRE_FALSE(publisher.bind("a", attached));
  const auto third = publisher.build();
  CHECK(third->topology != first->topology);
  CHECK(third->epochs_held == second->epochs_held);
}

}  // namespace
}  // namespace headgate::test
