// The gate for what control sends: every refusal says why, and changes nothing.
#include "tables/publisher.h"

#include <doctest/doctest.h>

#include <functional>

#include "ports/memory.h"
#include "test/bed.h"
#include "test/publisher_policy.h"

namespace headgate::test {
namespace {

constexpr Mac kOther = {2, 0, 0, 0, 0, 9};

struct Refused {
  const char* says;  // part of the message
  std::function<void(Delta&)> make;
};

// A rule with one service, changed so.
std::function<void(Delta&)> service(void (*change)(ServiceMatch&)) {
  return [change](Delta& d) {
    ServiceMatch s;
    change(s);
    d.set_rules = {rule("x", Action::kAllow)};
    d.set_rules[0].services = {s};
  };
}

// What comes with it must not be applied either.
Delta with_company(const Refused& refused) {
  Delta delta;
  delta.default_action = Action::kAllow;
  delta.timeouts = Timeouts{};
  delta.timeouts->tcp_opening = 7;
  refused.make(delta);
  if (delta.set_address_sets.empty()) delta.set_address_sets = {{"new", "1", {"10.0.0.1"}}};
  if (delta.set_workloads.empty()) delta.set_workloads = {workload("new", kOther)};
  return delta;
}

void check_refused(const std::vector<Refused>& all) {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const std::string before = contents(publisher);
  for (const Refused& refused : all) {
    const Refusal refusal = publisher.apply(with_company(refused));
    CAPTURE(std::string(refused.says));
    CHECK(refusal.code == "invalid-delta");
    CHECK_MESSAGE(refusal.message.find(refused.says) != std::string::npos, refusal.message);
    REQUIRE(contents(publisher) == before);
  }
}

TEST_CASE("a delta with a value that is wrong in itself is refused, and changes nothing") {
  check_refused({
      {"Address set without a name",
       [](Delta& d) {
         d.set_address_sets = {{"", "1", {}}};
       }},
      {"'10.0.0.1/8' is no address",
       [](Delta& d) {
         d.set_address_sets = {{"x", "1", {"10.0.0.0/8", "10.0.0.1/8"}}};
       }},
      {"Rule without a name", [](Delta& d) { d.set_rules = {rule("", Action::kDrop)}; }},
      {"'s1': '10.0.0.1/8' is no address",
       [](Delta& d) {
         d.edit_address_sets = {{"s1", "2", {}, {"10.0.0.1/8"}}};
       }},
      {"reversed port range", service([](ServiceMatch& s) {
         s.ports = {{2, 1}};
       })},
      {"reversed port range", service([](ServiceMatch& s) {
         s.source_ports = {{1, 2}, {2, 1}};
       })},
      {"number out of range", service([](ServiceMatch& s) { s.protocol = 256; })},
      {"number out of range", service([](ServiceMatch& s) { s.icmp_type = 256; })},
      {"number out of range", service([](ServiceMatch& s) { s.icmp_code = 256; })},
      {"VLAN out of range",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 4095, 0, "t"}};
       }},
      {"VLAN out of range",
       [](Delta& d) {
         d.set_segments = {{"x", "1", -1, 0, "t"}};
       }},
      {"VLAN out of range",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 5, 4095, "t"}};
       }},
      {"inner VLAN without an outer",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 0, 5, "t"}};
       }},
      {"needs a tracker or bridges",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 0, 0, ""}};
       }},
      {"no unicast MAC",
       [](Delta& d) {
         d.set_workloads = {workload("x", Mac{3, 0, 0, 0, 0, 1})};
       }},
      {"no unicast MAC", [](Delta& d) { d.set_workloads = {workload("x", Mac{})}; }},
      {"no unicast MAC",
       [](Delta& d) {
         d.set_workloads = {workload("x")};
         d.set_workloads[0].mac = "02:00:00:00:00:0G";
       }},
      {"'fd00::1/16' is no address", [](Delta& d) { d.set_workloads = {workload("x", {}, {{"fd00::1/16"}})}; }},
      {"Entry without a name", [](Delta& d) { d.set_entries = {entry("", "r1", 1, "A")}; }},
      {"category or an order out of range",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 1, "A")};
         d.set_entries[0].category = 5;
       }},
      {"category or an order out of range",
       [](Delta& d) { d.set_entries = {entry("x", "r1", uint64_t{1} << 50, "A")}; }},
      {"for no direction",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 1, "A")};
         d.set_entries[0].in = d.set_entries[0].out = false;
       }},
  });
}

TEST_CASE("a delta that names what is not there, or one thing twice, is refused, and changes nothing") {
  check_refused({
      {"'x' is named twice",
       [](Delta& d) {
         d.set_address_sets = {{"x", "1", {}}, {"x", "2", {}}};
       }},
      {"'r1' is named twice",
       [](Delta& d) {
         d.set_rules = {rule("r1", Action::kDrop), rule("r1", Action::kDrop)};
       }},
      {"'nowhere' cannot be edited: it does not exist",
       [](Delta& d) {
         d.edit_address_sets = {{"nowhere", "2", {}, {}}};
       }},
      {"'s1' cannot be edited: the same change sets",
       [](Delta& d) {
         d.edit_address_sets = {{"s1", "2", {}, {}}}, d.set_address_sets = {{"s1", "2", {}}};
       }},
      {"address set 'nowhere', which does not exist",
       [](Delta& d) {
         d.set_rules = {rule_from("x", {"s1", "nowhere"})};
       }},
      {"address set 'nowhere', which does not exist",
       [](Delta& d) {
         d.set_rules = {rule("x", Action::kDrop)};
         d.set_rules[0].destinations = {{"nowhere"}};
       }},
      {"'x' is named twice",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 0, 0, "t"}, {"x", "1", 0, 0, "t"}};
       }},
      {"segment 'nowhere', which does not exist",
       [](Delta& d) { d.set_workloads = {workload("x", {}, {}, "nowhere")}; }},
      {"Workload 'x' is named twice",
       [](Delta& d) {
         d.set_workloads = {workload("x"), workload("x")};
       }},
      {"'a' of segment 'lan' has MAC", [](Delta& d) { d.set_workloads = {workload("x", kTestSource)}; }},
      {"'x' of segment 'lan' has MAC",
       [](Delta& d) {
         d.set_workloads = {workload("x", kOther), workload("y", kOther)};
       }},
      {"Scope 'x' refers to workload 'nobody', which does not exist",
       [](Delta& d) {
         d.set_scopes = {{"x", "1", {"a", "nobody"}}};
       }},
      {"Scope 'A' refers to workload 'nobody', which does not exist",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {"nobody"}, {}}};
       }},
      {"Scope 'A' refers to workload 'nobody', which does not exist",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {}, {"nobody"}}};
       }},
      {"'x' cannot be edited: it does not exist",
       [](Delta& d) {
         d.edit_scopes = {{"x", "2", {}, {}}};
       }},
      {"Entry 'x' refers to rule 'nothing', which does not exist",
       [](Delta& d) { d.set_entries = {entry("x", "nothing", 1, "A")}; }},
      {"Entry 'x' refers to scope 'nowhere', which does not exist",
       [](Delta& d) { d.set_entries = {entry("x", "r1", 1, "nowhere")}; }},
      {"Entry 'x' has the same order as entry 'e1'", [](Delta& d) { d.set_entries = {entry("x", "r1", 100, "AB")}; }},
      {"Entry 'y' has the same order as entry 'x'",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 5, "A"), entry("y", "r1", 5, "A")};
       }},
      {"Entry 'x' is named twice",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 5, "A"), entry("x", "r1", 6, "A")};
       }},
  });
}

TEST_CASE("a delta that removes what is needed, or not there, is refused, and changes nothing") {
  check_refused({
      {"workload 'b' is both added and removed",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {"b"}, {"b"}}};
       }},
      {"'A' cannot be edited: the same change sets or removes",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {}, {}}}, d.set_scopes = {{"A", "2", {}}};
       }},
      {"removed twice",
       [](Delta& d) {
         d.remove_rules = {"r2", "r2"};
       }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_rules = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_address_sets = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_segments = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_workloads = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_scopes = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_entries = {"x"}; }},
      {"the same change sets it", [](Delta& d) { d.set_rules = {rule("r2", Action::kDrop)}, d.remove_rules = {"r2"}; }},
      {"the same change sets it",
       [](Delta& d) {
         d.set_address_sets = {{"s2", "2", {}}}, d.remove_address_sets = {"s2"};
       }},
      {"the same change sets it",
       [](Delta& d) {
         d.set_segments = {{"lan", "2", 0, 0, "t"}}, d.remove_segments = {"lan"};
       }},
      {"the same change sets it", [](Delta& d) { d.set_workloads = {workload("b")}, d.remove_workloads = {"b"}; }},
      {"the same change sets it",
       [](Delta& d) {
         d.set_scopes = {{"AB", "2", {}}}, d.remove_scopes = {"AB"};
       }},
      {"the same change sets it",
       [](Delta& d) { d.set_entries = {entry("e1", "r1", 1, "A")}, d.remove_entries = {"e1"}; }},
      {"'s1' cannot be removed: rule 'r1' refers to it", [](Delta& d) { d.remove_address_sets = {"s1"}; }},
      {"Rule 'r3' refers to address set 's2', which the same change removes",
       [](Delta& d) {
         d.set_rules = {rule_from("r3", {"s2"})};
         d.remove_address_sets = {"s2"}, d.remove_rules = {"r2"};
       }},
      {"'r1' cannot be removed: entry 'e1' refers to it", [](Delta& d) { d.remove_rules = {"r1"}; }},
      {"Entry 'x' refers to rule 'r2', which the same change removes",
       [](Delta& d) { d.set_entries = {entry("x", "r2", 1, "A")}, d.remove_rules = {"r2"}; }},
      {"'A' cannot be removed: entry 'e1' applies to it", [](Delta& d) { d.remove_scopes = {"A"}; }},
      {"Entry 'x' refers to scope 'AB', which the same change removes",
       [](Delta& d) { d.set_entries = {entry("x", "r2", 1, "AB")}, d.remove_scopes = {"AB"}; }},
      {"'b' cannot be removed: it is in scope 'AB'", [](Delta& d) { d.remove_workloads = {"b"}; }},
      {"Scope 'x' refers to workload 'c', which the same change removes",
       [](Delta& d) {
         d.set_scopes = {{"x", "1", {"c"}}}, d.remove_workloads = {"c"};
       }},
      {"Scope 'A' refers to workload 'c', which the same change removes",
       [](Delta& d) {
         d.edit_scopes = {{"A", "1", {"c"}, {}}}, d.remove_workloads = {"c"};
       }},
      {"'dmz' cannot be removed: workload 'c' is in it", [](Delta& d) { d.remove_segments = {"dmz"}; }},
      {"Workload 'x' is in segment 'dmz', which the same change removes",
       [](Delta& d) {
         d.set_workloads = {workload("x", {}, {}, "dmz")}, d.remove_segments = {"dmz"}, d.remove_workloads = {"c"};
       }},
  });
}

TEST_CASE("more workloads than fit are refused with a number") {
  Publisher publisher;
  Delta delta = base();
  for (uint32_t i = 0; i <= MacTable::kMostWorkload - 3; ++i)
    delta.set_workloads.push_back(workload("w" + std::to_string(i)));
  const Refusal refusal = publisher.apply(delta);
  CHECK(refusal.code == "table-full");
  CHECK(refusal.message.find("remove 1 of them") != std::string::npos);
  CHECK_FALSE(publisher.published());
  delta.set_workloads.pop_back();
  CHECK_FALSE(publisher.apply(delta));
}

TEST_CASE("more pinned MACs than a segment holds are refused") {
  Publisher publisher;
  Delta delta = base();
  for (uint32_t i = 0; i < MacTable::kSlots / 2; ++i)
    delta.set_workloads.push_back(
        workload("w" + std::to_string(i), Mac{2, 1, 0, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}));
  CHECK(publisher.apply(delta).code == "table-full");
  delta.set_workloads.pop_back();
  CHECK_FALSE(publisher.apply(delta));
}

TEST_CASE("an attached workload moves neither to another segment nor to another kind of port") {
  Bed bed;
  Delta delta;
  delta.set_segments = {{"dmz", "1", 0, 0, "dmz"}};
  delta.set_workloads = {workload("a", kTestSource, {}, "dmz")};
  CHECK(bed.publisher().apply(delta).code == "attached");
  delta.set_workloads = {workload("a", kTestSource)};
  delta.set_workloads[0].trunk = true;
  CHECK(bed.publisher().apply(delta).code == "attached");
  bed.detach("a");
  delta.set_workloads = {workload("a", kTestSource, {}, "dmz")};
  CHECK_FALSE(bed.publisher().apply(delta));
}

TEST_CASE("a change made against another generation is refused as stale") {
  Publisher publisher;
  Delta d = base();
  d.base = 1;
  CHECK(publisher.apply(d).code == "stale");
  CHECK_FALSE(publisher.published());
  d.base = 0;
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.number() == 1);
  d = {};
  d.base = 0;
  const Refusal refusal = publisher.apply(d);
  CHECK(refusal.code == "stale");
  CHECK(refusal.message.find("against generation 0, but generation 1 is in force") != std::string::npos);
  CHECK(publisher.number() == 1);
  auto attached = std::make_shared<AttachedPort>();
  attached->port = std::make_unique<MemoryPort>();
  REQUIRE_FALSE(publisher.bind("a", attached));  // no matter of policy
  CHECK(publisher.build()->number == 1);
  d.base = 1;
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.number() == 2);
}

TEST_CASE("rules that would not fit the lookup are refused, with how many have to go") {
  Publisher publisher(4);
  REQUIRE_FALSE(publisher.apply(base()));  // e1 takes one
  const std::string before = contents(publisher);
  Delta d;
  d.set_rules = {rule("wide", Action::kAllow)};  // takes three, as its services have so many lists of source ports
  d.set_rules[0].services = {{from_port(1), from_port(2), from_port(2), ServiceMatch{}}};
  d.set_entries = {entry("w1", "wide", 1, "AB")};
  REQUIRE_FALSE(publisher.apply(d));
  const std::string full = contents(publisher);
  const auto refused = [&](const Delta& delta, const char* says) {
    const Refusal refusal = publisher.apply(delta);
    CHECK(refusal.code == "table-full");
    CHECK_MESSAGE(refusal.message.find(says) != std::string::npos, refusal.message);
    CHECK(contents(publisher) == full);
  };
  d = {};
  d.set_entries = {entry("e2", "r2", 2, "A"), entry("e3", "r2", 3, "A")};
  refused(d, "would take 6 slots of the lookup, which has 4: 2 have to go");
  d = {};  // a rule that grows where it stands
  d.set_rules = {rule("r1", Action::kAllow)};
  d.set_rules[0].services = {{from_port(1), from_port(2)}};
  refused(d, "would take 5 slots of the lookup, which has 4: 1 have to go");
  d.set_entries = {entry("e1", "r2", 100, "A")};  // and stands there no longer
  REQUIRE_FALSE(publisher.apply(d));
  d = {};
  d.set_entries = {entry("e2", "r2", 2, "A"), entry("e3", "r1", 3, "A")};
  d.remove_entries = {"w1"};
  REQUIRE_FALSE(publisher.apply(d));
  d = {};
  d.set_entries = {entry("e4", "r2", 4, "A")};
  CHECK(publisher.apply(d).code == "table-full");
}

}  // namespace
}  // namespace headgate::test
