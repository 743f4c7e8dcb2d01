// What one change may do at once to sets, orders and MACs, and when places and ports are free again.
#include "tables/publisher.h"

#include <doctest/doctest.h>

#include "ports/memory.h"
#include "test/publisher_policy.h"

namespace headgate::test {
namespace {

TEST_CASE("what is removed and set in one change may depend on each other") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  Delta d;  // everything of a's policy goes at once, c with its segment
  d.remove_entries = {"e1"};
  d.remove_scopes = {"A", "AB"};
  d.remove_rules = {"r1", "r2"};
  d.remove_address_sets = {"s1", "s2"};
  d.remove_workloads = {"c"};
  d.remove_segments = {"dmz"};
  const Refusal refusal = publisher.apply(d);
  REQUIRE_MESSAGE(!refusal, refusal.message);
  const auto left = publisher.inventory();
  CHECK(left.rules.empty());
  CHECK(left.address_sets.empty());
  CHECK(left.entries.empty());
  CHECK(left.scopes.empty());
  CHECK(left.workloads.size() == 2);
  CHECK(left.segments.size() == 1);
}

TEST_CASE("an order is free once its entry has another, or is gone, in the same change") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  Delta d;
  d.set_entries = {entry("e2", "r1", 200, "A")};
  REQUIRE_FALSE(publisher.apply(d));
  d.set_entries = {entry("e1", "r1", 200, "A"), entry("e2", "r1", 100, "A")};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.inventory().entries.at("e1").order == 200);
  d.set_entries = {entry("e3", "r1", 100, "A")};
  CHECK(publisher.apply(d).code == "invalid-delta");
  d.remove_entries = {"e2"};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.inventory().entries.size() == 2);
}

TEST_CASE("an edit of a set takes out and puts in, and what is put in stays") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const auto matches = [&](const char* address) {
    const auto generation = publisher.build();
    FlowHeaders flow;
    flow.source = address_of(address);
    return generation->lookup->first_match(0, Direction::kIn, flow, 0) != nullptr;
  };
  CHECK(matches("10.1.2.3"));
  Delta d;
  d.edit_address_sets = {{"s1", "2", {"10.1.2.3", "11.0.0.1"}, {"10.1.0.0/16", "12.0.0.0/8"}}};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(matches("10.1.2.3"));
  CHECK_FALSE(matches("10.1.2.4"));
  CHECK(matches("10.2.0.0"));
  CHECK(matches("11.0.0.1"));
  CHECK(publisher.inventory().address_sets.at("s1") == "2");
}

TEST_CASE("a MAC goes from one workload to another in one change") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const Mac other = {2, 0, 0, 0, 0, 9};
  Delta d;
  d.set_workloads = {workload("b", kTestSource), workload("a", other)};
  REQUIRE_FALSE(publisher.apply(d));
  const auto owner = [&](const Mac& mac) { return publisher.build()->segments[0]->macs->find(mac.data(), 0); };
  CHECK(owner(kTestSource) == publisher.find_place("b"));
  CHECK(owner(other) == publisher.find_place("a"));
  d = {};
  d.remove_workloads = {"b"};
  d.set_scopes = {{"AB", "2", {}}};
  d.set_workloads = {workload("d", kTestSource)};
  REQUIRE_FALSE(publisher.apply(d));
  publisher.build();
  publisher.settled();
  CHECK(owner(kTestSource) == publisher.find_place("d"));
}

// A frame on its way may still name the place of a workload that left.
TEST_CASE("the place of a workload that left is free only when every worker knows") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  publisher.build();
  publisher.settled();
  Delta d;
  d.remove_workloads = {"b"};
  d.edit_scopes = {{"AB", "2", {}, {"b"}}};
  REQUIRE_FALSE(publisher.apply(d));
  d = {};
  d.set_workloads = {workload("d")};
  REQUIRE_FALSE(publisher.apply(d));
  auto generation = publisher.build();
  CHECK_FALSE(generation->workloads[1]);
  CHECK(generation->workloads[3]->name == "d");
  publisher.settled();
  d.set_workloads = {workload("e")};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.build()->workloads[1]->name == "e");
}

TEST_CASE("ports: bound once, trunks by workloads of different VLANs, gone with the last") {
  Publisher publisher;
  Delta d = base();
  d.set_segments.push_back({"red", "1", 20, 0, "red"});
  d.set_segments.push_back({"blue", "1", 20, 30, "blue"});
  for (const char* name : {"red", "blue"}) {
    d.set_workloads.push_back(workload(name, {}, {}, name));
    d.set_workloads.back().trunk = true;
  }
  d.set_workloads.push_back(workload("red2", {}, {}, "red"));
  d.set_workloads.back().trunk = true;
  REQUIRE_FALSE(publisher.apply(d));
  const auto port = [](bool trunk) {
    auto attached = std::make_shared<AttachedPort>();
    attached->port = std::make_unique<MemoryPort>();
    attached->device = "eth0";
    attached->trunk = trunk;
    return attached;
  };
  CHECK(publisher.bind("nobody", port(false)).code == "unknown-workload");
  auto own = port(false);
  CHECK_FALSE(publisher.bind("a", own));
  CHECK(publisher.bind("a", port(false)).code == "already-attached");
  CHECK(publisher.bind("b", own).code == "device-taken");
  auto trunk = port(true);
  CHECK_FALSE(publisher.bind("red", trunk));
  CHECK(publisher.find_shared("eth0", false) == trunk);
  CHECK_FALSE(publisher.find_shared("eth1", false));
  CHECK(publisher.bind("red2", trunk).code == "device-taken");
  CHECK_FALSE(publisher.bind("blue", trunk));
  const auto generation = publisher.build();
  CHECK(generation->ports[(*publisher.find_workload("red"))->port].members.size() == 2);
  CHECK_FALSE(publisher.unbind("red"));
  CHECK(publisher.unbind("blue") == trunk);
  CHECK_FALSE(publisher.unbind("blue"));
  CHECK_FALSE(publisher.find_shared("eth0", false));
}

}  // namespace
}  // namespace headgate::test
