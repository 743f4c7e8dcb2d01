// The gate for what control sends: every refusal, nothing changed by it, and epochs of exactly those workloads that a
// change touches.
#include "tables/publisher.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <sstream>

#include "ports/memory.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

// Everything that the packet path could see, as text.
std::string contents(Publisher& publisher) {
  std::ostringstream out;
  const auto inventory = publisher.inventory();
  if (inventory.default_action) out << "default " << name_of(*inventory.default_action) << '\n';
  for (const auto* names : {&inventory.address_sets, &inventory.segments, &inventory.workloads, &inventory.scopes})
    for (const auto& [name, digest] : *names) out << name << ' ' << digest << '\n';
  auto rules = inventory.rules;
  std::sort(rules.begin(), rules.end());
  for (const auto& key : rules) out << key << '\n';
  for (const auto& [id, e] : inventory.entries)
    out << id << ' ' << e.digest << ' ' << e.category << ' ' << e.order << '\n';
  const auto generation = publisher.build();
  out << name_of(generation->default_action) << ' ' << generation->timeouts.tcp_opening << '\n';
  for (uint32_t i = 0; i < generation->workloads.size(); ++i) {
    const auto& w = generation->workloads[i];
    if (!w) continue;
    out << w->name << ' ' << w->serial << ' ' << generation->epochs[i] << ' ' << w->segment << ' ' << w->port
        << w->trunk << w->pinned_mac << w->any_address << ' ' << w->addresses.ranges().size();
    for (Direction d : {Direction::kIn, Direction::kOut})
      for (const char* from : {"10.0.0.1", "11.0.0.1", "fd00::1"}) {
        out << ' ' << name_of(d);
        FlowHeaders flow;
        flow.source = flow.destination = address_of(from);
        uint64_t after = 0;
        while (const IndexEntry* e = generation->lookup->first_match(i, d, flow, after)) {
          out << ' ' << e->id << '=' << e->serial << '@' << e->order << e->rule->key;
          after = e->order + 1;
        }
      }
    out << ' ' << generation->segments[w->segment]->macs->find(w->mac.data(), 0) << '\n';
  }
  for (const auto& s : generation->segments)
    if (s)
      out << s->name << ' ' << s->vlan[0] << ' ' << s->vlan[1] << ' ' << s->tracker << ' ' << s->members.size() << '\n';
  return out.str();
}

RuleChange rule_from(const std::string& key, const std::vector<std::string>& sources) {
  RuleChange change = rule(key, Action::kAllow);
  change.sources = sources;
  return change;
}

ServiceMatch from_port(uint16_t port) {
  ServiceMatch s;
  s.source_ports = {{port, port}};
  return s;
}

// Two segments, workloads a and b (lan, a with a MAC), c (dmz), sets s1 and s2, rules r1 (s1) and r2 (s2), scopes A (a)
// and AB (a, b), entry e1: r1 for A.
Delta base() {
  Delta d;
  d.default_action = Action::kDrop;
  d.set_segments = {{"lan", "1", 0, 0, "t1"}, {"dmz", "1", 10, 0, "t2"}};
  d.set_address_sets = {{"s1", "1", {"10.0.0.0/8"}}, {"s2", "1", {"fd00::/16"}}};
  d.set_rules = {rule_from("r1", {"s1"}), rule_from("r2", {"s2"})};
  d.set_workloads = {workload("a", kTestSource), workload("b"), workload("c", {}, {}, "dmz")};
  d.set_scopes = {{"A", "1", {"a"}}, {"AB", "1", {"a", "b"}}};
  d.set_entries = {entry("e1", "r1", 100, "A")};
  return d;
}

struct Refused {
  const char* says;  // part of the message
  std::function<void(Delta&)> make;
};

TEST_CASE("each broken delta is refused with a reason, and changes nothing") {
  const auto service = [](auto change) {
    return [change](Delta& d) {
      ServiceMatch s;
      change(s);
      d.set_rules.push_back(rule("x", Action::kAllow));
      d.set_rules[0].services = {s};
    };
  };
  const Mac other = {2, 0, 0, 0, 0, 9};
  const std::vector<Refused> all = {
      {"Address set without a name",
       [](Delta& d) {
         d.set_address_sets = {{"", "1", {}}};
       }},
      {"'x' is named twice",
       [](Delta& d) {
         d.set_address_sets = {{"x", "1", {}}, {"x", "2", {}}};
       }},
      {"'10.0.0.1/8' is no address",
       [](Delta& d) {
         d.set_address_sets = {{"x", "1", {"10.0.0.0/8", "10.0.0.1/8"}}};
       }},
      {"'r1' is named twice",
       [](Delta& d) {
         d.set_rules = {rule("r1", Action::kDrop), rule("r1", Action::kDrop)};
       }},
      {"Rule without a name", [](Delta& d) { d.set_rules = {rule("", Action::kDrop)}; }},
      {"'s1': '10.0.0.1/8' is no address",
       [](Delta& d) {
         d.edit_address_sets = {{"s1", "2", {}, {"10.0.0.1/8"}}};
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
      {"names no tracker",
       [](Delta& d) {
         d.set_segments = {{"x", "1", 0, 0, ""}};
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
      {"'a' of segment 'lan' has MAC", [](Delta& d) { d.set_workloads = {workload("x", kTestSource)}; }},
      {"'x' of segment 'lan' has MAC",
       [=](Delta& d) {
         d.set_workloads = {workload("x", other), workload("y", other)};
       }},
      {"'fd00::1/16' is no address", [](Delta& d) { d.set_workloads = {workload("x", {}, {{"fd00::1/16"}})}; }},
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
      {"workload 'b' is both added and removed",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {"b"}, {"b"}}};
       }},
      {"'x' cannot be edited: it does not exist",
       [](Delta& d) {
         d.edit_scopes = {{"x", "2", {}, {}}};
       }},
      {"'A' cannot be edited: the same change sets or removes",
       [](Delta& d) {
         d.edit_scopes = {{"A", "2", {}, {}}}, d.set_scopes = {{"A", "2", {}}};
       }},
      {"Entry without a name", [](Delta& d) { d.set_entries = {entry("", "r1", 1, "A")}; }},
      {"Entry 'x' refers to rule 'nothing', which does not exist",
       [](Delta& d) { d.set_entries = {entry("x", "nothing", 1, "A")}; }},
      {"Entry 'x' refers to scope 'nowhere', which does not exist",
       [](Delta& d) { d.set_entries = {entry("x", "r1", 1, "nowhere")}; }},
      {"category or an order out of range",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 1, "A")};
         d.set_entries[0].category = 4;
       }},
      {"category or an order out of range",
       [](Delta& d) { d.set_entries = {entry("x", "r1", uint64_t{1} << 50, "A")}; }},
      {"for no direction",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 1, "A")};
         d.set_entries[0].in = d.set_entries[0].out = false;
       }},
      {"Entry 'x' has the same order as entry 'e1'", [](Delta& d) { d.set_entries = {entry("x", "r1", 100, "AB")}; }},
      {"Entry 'y' has the same order as entry 'x'",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 5, "A"), entry("y", "r1", 5, "A")};
       }},
      {"Entry 'x' is named twice",
       [](Delta& d) {
         d.set_entries = {entry("x", "r1", 5, "A"), entry("x", "r1", 6, "A")};
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
  };
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const std::string before = contents(publisher);
  for (const Refused& refused : all) {
    // What comes with it must not be applied either.
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.timeouts = Timeouts{};
    delta.timeouts->tcp_opening = 7;
    refused.make(delta);
    if (delta.set_address_sets.empty()) delta.set_address_sets = {{"new", "1", {"10.0.0.1"}}};
    if (delta.set_workloads.empty()) delta.set_workloads = {workload("new", other)};
    const Refusal refusal = publisher.apply(delta);
    CAPTURE(std::string(refused.says));
    if (!delta.set_workloads.empty() && delta.set_workloads[0].mac) CAPTURE(*delta.set_workloads[0].mac);
    CHECK(refusal.code == "invalid-delta");
    CHECK_MESSAGE(refusal.message.find(refused.says) != std::string::npos, refusal.message);
    REQUIRE(contents(publisher) == before);
  }
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
  CHECK(publisher.find_trunk("eth0") == trunk);
  CHECK_FALSE(publisher.find_trunk("eth1"));
  CHECK(publisher.bind("red2", trunk).code == "device-taken");
  CHECK_FALSE(publisher.bind("blue", trunk));
  const auto generation = publisher.build();
  CHECK(generation->ports[(*publisher.find_workload("red"))->port].members.size() == 2);
  CHECK_FALSE(publisher.unbind("red"));
  CHECK(publisher.unbind("blue") == trunk);
  CHECK_FALSE(publisher.unbind("blue"));
  CHECK_FALSE(publisher.find_trunk("eth0"));
}

}  // namespace
}  // namespace headgate::test
