// The gate for what control sends: every refusal, nothing changed by it, and epochs of exactly those workloads that a
// change touches.
#include "tables/publisher.h"

#include <doctest/doctest.h>

#include <functional>
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
  for (const auto* names : {&inventory.address_sets, &inventory.segments, &inventory.workloads, &inventory.indexes})
    for (const auto& [name, digest] : *names) out << name << ' ' << digest << '\n';
  auto rules = inventory.rules;
  std::sort(rules.begin(), rules.end());
  for (const auto& key : rules) out << key << '\n';
  const auto generation = publisher.build();
  out << name_of(generation->default_action) << ' ' << generation->timeouts.tcp_opening << '\n';
  for (const auto& w : generation->workloads) {
    if (!w) continue;
    out << w->name << ' ' << w->serial << ' ' << w->epoch << ' ' << w->segment << ' ' << w->port << w->trunk
        << w->pinned_mac << w->any_address << ' ' << w->addresses.ranges().size();
    for (const IndexTable* table : {&w->in, &w->out}) {
      for (uint32_t end : table->category_end) out << ' ' << end;
      for (const auto& rule : table->rules) out << ' ' << rule->key << '=' << rule->serial << '@' << rule.get();
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

IndexChange index_of(const std::string& workload, const std::vector<std::string>& in) {
  return {workload, "1", {{}, {}, {}, in}, {{}, {}, {}, {}}};
}

// Two segments, workloads a and b (lan, a with a MAC), c (dmz), sets s1 and s2, rules r1 (s1) and r2 (s2), index of a:
// r1.
Delta base() {
  Delta d;
  d.default_action = Action::kDrop;
  d.set_segments = {{"lan", "1", 0, 0, "t1"}, {"dmz", "1", 10, 0, "t2"}};
  d.set_address_sets = {{"s1", "1", {"10.0.0.0/8"}}, {"s2", "1", {"fd00::/16"}}};
  d.set_rules = {rule_from("r1", {"s1"}), rule_from("r2", {"s2"})};
  d.set_workloads = {workload("a", kTestSource), workload("b"), workload("c", {}, {}, "dmz")};
  d.set_indexes = {index_of("a", {"r1"})};
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
      {"another workload of segment 'lan' has MAC", [](Delta& d) { d.set_workloads = {workload("x", kTestSource)}; }},
      {"another workload of segment 'lan' has MAC",
       [=](Delta& d) {
         d.set_workloads = {workload("x", other), workload("y", other)};
       }},
      {"'fd00::1/16' is no address", [](Delta& d) { d.set_workloads = {workload("x", {}, {{"fd00::1/16"}})}; }},
      {"workload 'nobody', which does not exist", [](Delta& d) { d.set_indexes = {index_of("nobody", {})}; }},
      {"rule 'nothing', which does not exist",
       [](Delta& d) {
         d.set_indexes = {index_of("b", {"r1", "nothing"})};
       }},
      {"not four categories",
       [](Delta& d) {
         d.set_indexes = {{"b", "1", {{}, {}, {}}, {{}, {}, {}, {}}}};
       }},
      {"'b' is named twice",
       [](Delta& d) {
         d.set_indexes = {index_of("b", {}), index_of("b", {})};
       }},
      {"removed twice",
       [](Delta& d) {
         d.remove_rules = {"r2", "r2"};
       }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_rules = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_address_sets = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_segments = {"x"}; }},
      {"'x' cannot be removed: it does not exist", [](Delta& d) { d.remove_workloads = {"x"}; }},
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
      {"the same change sets it", [](Delta& d) { d.set_indexes = {index_of("b", {})}, d.remove_workloads = {"b"}; }},
      {"Rule 'r1' refers to an address set that is to be removed", [](Delta& d) { d.remove_address_sets = {"s1"}; }},
      {"refers to an address set that goes",
       [](Delta& d) {
         d.set_rules = {rule_from("r3", {"s2"})};
         d.remove_address_sets = {"s2"}, d.remove_rules = {"r2"};
       }},
      {"index of workload 'a' refers to rule 'r1', which is to be removed", [](Delta& d) { d.remove_rules = {"r1"}; }},
      {"refers to a rule that is to be removed",
       [](Delta& d) { d.set_indexes = {index_of("b", {"r2"})}, d.remove_rules = {"r2"}; }},
      {"Workload 'c' is in a segment that is to be removed", [](Delta& d) { d.remove_segments = {"dmz"}; }},
      {"in a segment that is to be removed",
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
    CHECK(epochs.insert(after->workloads[i]->epoch).second);
    if (i >= before->workloads.size() || !before->workloads[i] ||
        before->workloads[i]->epoch != after->workloads[i]->epoch)
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
  d.set_address_sets = {{"s1", "2", {"10.0.0.0/9"}}};  // of r1, of a
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_rules = {rule_from("r1", {"s2"})};
  CHECK(touched(publisher, d) == "a");
  d = {};
  d.set_address_sets = {{"s1", "3", {}}};  // r1 is of s2 now
  CHECK(touched(publisher, d) == "");
  d = {};
  d.set_indexes = {index_of("b", {"r1"})};
  CHECK(touched(publisher, d) == "b");
  d = {};
  d.set_address_sets = {{"s2", "3", {}}};
  CHECK(touched(publisher, d) == "ab");
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
  CHECK(touched(publisher, d) == "");
}

TEST_CASE("what is removed and set in one change may depend on each other") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  Delta d;  // everything of a's policy goes at once, c with its segment
  d.set_indexes = {index_of("a", {})};
  d.remove_rules = {"r1", "r2"};
  d.remove_address_sets = {"s1", "s2"};
  d.remove_workloads = {"c"};
  d.remove_segments = {"dmz"};
  const Refusal refusal = publisher.apply(d);
  REQUIRE_MESSAGE(!refusal, refusal.message);
  const auto left = publisher.inventory();
  CHECK(left.rules.empty());
  CHECK(left.address_sets.empty());
  CHECK(left.workloads.size() == 2);
  CHECK(left.segments.size() == 1);
}

TEST_CASE("rules and workloads keep their serials while they are edited, and never get an old one") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  const auto serial = [&](const char* name) { return (*publisher.find_workload(name))->serial; };
  const uint32_t a = serial("a"), r1 = (*publisher.find_workload("a"))->in.rules[0]->serial;
  Delta d;
  d.set_workloads = {workload("a", kTestSource, {{"10.0.0.1"}})};
  d.set_rules = {rule("r1", Action::kReject)};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(serial("a") == a);
  CHECK((*publisher.find_workload("a"))->in.rules[0]->serial == r1);
  CHECK((*publisher.find_workload("a"))->in.rules[0]->action == Action::kReject);
  d = {};
  d.remove_workloads = {"a"};
  d.remove_rules = {"r1"};
  REQUIRE_FALSE(publisher.apply(d));
  CHECK(publisher.workload_name(a) == "");
  CHECK(publisher.rule_key(r1) == "");
  REQUIRE_FALSE(publisher.apply(base()));
  CHECK(serial("a") != a);
  CHECK((*publisher.find_workload("a"))->in.rules[0]->serial != r1);
}

// A frame on its way may still name the place of a workload that left.
TEST_CASE("the place of a workload that left is free only when every worker knows") {
  Publisher publisher;
  REQUIRE_FALSE(publisher.apply(base()));
  publisher.build();
  publisher.settled();
  Delta d;
  d.remove_workloads = {"b"};
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
