// Property tests: the packet path against the slow judges of oracle.h, on random policies, frames, edits and times.
#include "test/oracle.h"

#include <doctest/doctest.h>

#include "test/bed.h"

namespace headgate::test {
namespace {

const char* const kNames[] = {"w0", "w1", "w2", "w3"};

// Small worlds, so that rules meet packets: few addresses, ports and types.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {}

  uint32_t below(uint32_t n) { return random_() % n; }
  bool chance(uint32_t percent) { return below(100) < percent; }
  Mac mac(uint32_t w) { return {2, 0, 0, 0, 0, static_cast<uint8_t>(1 + w)}; }
  std::string address(uint32_t w, bool v6) { return (v6 ? "fd00::" : "10.0.0.") + std::to_string(1 + w); }

  std::string range() {
    const bool v6 = chance(30);
    switch (below(5)) {
      case 0:
        return v6 ? "fd00::/64" : "10.0.0.0/24";
      case 1:
        return v6 ? "::/0" : "0.0.0.0/0";
      case 2:
        return address(below(2), v6) + "-" + address(2 + below(3), v6);
      default:
        return address(below(5), v6);
    }
  }

  ServiceMatch service() {
    ServiceMatch s;
    const int protocols[] = {-1, 1, 6, 17, 58, 47, 132, 6, 17};
    s.protocol = protocols[below(9)];
    const auto ports = [&] {
      std::vector<PortRange> ranges;
      for (uint32_t n = below(3); n; --n) {
        const uint16_t first = static_cast<uint16_t>(below(6));
        ranges.push_back({first, static_cast<uint16_t>(first + below(3))});
      }
      return ranges;
    };
    if (chance(50)) s.ports = ports();
    if (chance(20)) s.source_ports = ports();
    const int types[] = {8, 0, 128, 3, 5};
    if (chance(15)) s.icmp_type = types[below(5)];
    if (chance(10)) s.icmp_code = static_cast<int>(below(2));
    return s;
  }

  RuleChange rule(const std::string& key, const Sets& sets) {
    RuleChange r;
    r.key = key;
    const auto names = [&]() -> std::optional<std::vector<std::string>> {
      if (chance(50) || sets.empty()) return std::nullopt;
      std::vector<std::string> some;
      for (const auto& [name, ranges] : sets)
        if (chance(30)) some.push_back(name);
      return some;
    };
    r.sources = names();
    r.destinations = names();
    if (chance(60)) {
      r.services.emplace();
      for (uint32_t n = below(3); n; --n) r.services->push_back(service());
    }
    const Action actions[] = {Action::kAllow, Action::kAllow,  Action::kAllow,
                              Action::kDrop,  Action::kReject, Action::kPass};
    r.action = actions[below(6)];
    r.observe = chance(15);
    r.log = chance(20);
    r.on_change = chance(50) ? OnChange::kReset : static_cast<OnChange>(below(3));
    return r;
  }

  // One of the map's names.
  template <class Map>
  std::string one_of(const Map& map) {
    return std::next(map.begin(), below(static_cast<uint32_t>(map.size())))->first;
  }

  std::vector<std::string> some_ranges() {
    std::vector<std::string> ranges;
    for (uint32_t n = below(4); n; --n) ranges.push_back(range());
    return ranges;
  }

  // One change of the policy, as a delta and in the model.
  void edit(Policy& policy, Delta& delta) {
    static constexpr void (World::*kEdits[])(Policy&, Delta&) = {
        &World::set_default, &World::set_rule,     &World::set_addresses, &World::edit_addresses, &World::set_scope,
        &World::edit_scope,  &World::remove_entry, &World::set_entry,     &World::set_entry};
    (this->*kEdits[below(std::size(kEdits))])(policy, delta);
  }

  void set_default(Policy& policy, Delta& delta) {
    delta.default_action = policy.default_action = chance(50) ? Action::kAllow : Action::kDrop;
  }

  void set_rule(Policy& policy, Delta& delta) {
    const RuleChange r = rule("r" + std::to_string(below(12)), policy.sets);
    if (std::any_of(delta.set_rules.begin(), delta.set_rules.end(), [&](const auto& x) { return x.key == r.key; }))
      return;
    policy.rules[r.key] = r;
    delta.set_rules.push_back(r);
  }

  void set_addresses(Policy& policy, Delta& delta) {
    const std::string name = "s" + std::to_string(below(4));
    if (!delta.set_address_sets.empty() || !delta.edit_address_sets.empty()) return;
    delta.set_address_sets.push_back({name, "1", some_ranges()});
    policy.sets[name].clear();
    for (const std::string& range : delta.set_address_sets[0].ranges) policy.sets[name].push_back({true, range});
  }

  void edit_addresses(Policy& policy, Delta& delta) {
    if (policy.sets.empty() || !delta.set_address_sets.empty() || !delta.edit_address_sets.empty()) return;
    const std::string name = one_of(policy.sets);
    delta.edit_address_sets.push_back({name, "1", some_ranges(), some_ranges()});
    auto& steps = policy.sets[name];
    for (const std::string& range : delta.edit_address_sets[0].remove) steps.push_back({false, range});
    for (const std::string& range : delta.edit_address_sets[0].add) steps.push_back({true, range});
  }

  std::vector<std::string> some_workloads() {
    std::vector<std::string> names;
    for (const char* name : kNames)
      if (chance(40)) names.push_back(name);
    return names;
  }

  void set_scope(Policy& policy, Delta& delta) {
    const std::string name = "c" + std::to_string(below(4));
    if (!delta.set_scopes.empty() || !delta.edit_scopes.empty()) return;
    delta.set_scopes.push_back({name, "1", some_workloads()});
    const auto& workloads = delta.set_scopes[0].workloads;
    policy.scopes[name] = {workloads.begin(), workloads.end()};
  }

  void edit_scope(Policy& policy, Delta& delta) {
    if (policy.scopes.empty() || !delta.set_scopes.empty() || !delta.edit_scopes.empty()) return;
    const std::string name = one_of(policy.scopes), who = kNames[below(4)];
    delta.edit_scopes.push_back({name, "1", {}, {}});
    if (chance(50)) {
      delta.edit_scopes[0].add = {who};
      policy.scopes[name].insert(who);
    } else {
      delta.edit_scopes[0].remove = {who};
      policy.scopes[name].erase(who);
    }
  }

  void set_entry(Policy& policy, Delta& delta) {
    if (policy.rules.empty() || policy.scopes.empty()) return;
    EntryChange e{"e" + std::to_string(below(16)),
                  "1",
                  one_of(policy.rules),
                  below(kCategories),
                  below(1000),
                  false,
                  false,
                  one_of(policy.scopes)};
    e.in = chance(70), e.out = !e.in || chance(50);
    const auto named = [&](const auto& x) { return x.id == e.id; };
    if (std::any_of(delta.set_entries.begin(), delta.set_entries.end(), named)) return;
    if (std::count(delta.remove_entries.begin(), delta.remove_entries.end(), e.id)) return;
    for (const auto& [id, other] : policy.entries)
      if (other.category == e.category && other.order == e.order && id != e.id) return;
    policy.entries[e.id] = e;
    delta.set_entries.push_back(e);
  }

  void remove_entry(Policy& policy, Delta& delta) {
    if (policy.entries.empty()) return;
    const std::string id = one_of(policy.entries);
    if (std::any_of(delta.set_entries.begin(), delta.set_entries.end(), [&](const auto& x) { return x.id == id; }))
      return;
    policy.entries.erase(id);
    delta.remove_entries.push_back(id);
  }

  FlowHeaders flow() {
    const bool v6 = chance(30);
    const uint8_t protocols[] = {6, 17, static_cast<uint8_t>(v6 ? 58 : 1), 47, 132};
    FlowHeaders f;
    f.source = address_of(address(below(5), v6)), f.destination = address_of(address(below(5), v6));
    f.protocol = protocols[below(5)];
    f.source_port = static_cast<uint16_t>(below(7)), f.destination_port = static_cast<uint16_t>(below(7));
    const uint8_t types[] = {8, 0, 128, 3, 5};
    f.icmp_type = types[below(5)], f.icmp_code = static_cast<uint8_t>(below(2));
    return f;
  }

  // A frame from w to x.
  Packet packet(uint32_t w, uint32_t x) {
    Packet p;
    const bool v6 = chance(30);
    p.source_mac = mac(w), p.destination_mac = mac(x);
    p.source = address(w, v6), p.destination = address(x, v6);
    const uint8_t protocols[] = {kTcp, kTcp, kTcp, kUdp, kUdp, static_cast<uint8_t>(v6 ? kIcmp6 : kIcmp), 47, kSctp};
    p.protocol = protocols[below(8)];
    p.source_port = static_cast<uint16_t>(below(3)), p.destination_port = static_cast<uint16_t>(below(3));
    const uint8_t flags[] = {kSyn, kSyn | kAck, kAck, kAck, kAck | kPsh, kFin | kAck, kRst, kRst | kAck};
    p.tcp_flags = flags[below(8)];
    p.sequence = below(4), p.acknowledgement = below(3);
    if (chance(50)) p.payload.clear();
    p.sctp_tag = below(8) ? 7 : below(3);
    const uint8_t types4[] = {8, 8, 0, 0, 3, 5, 13}, types6[] = {128, 128, 129, 129, 1, 3, 4};
    p.icmp_type = v6 ? types6[below(7)] : types4[below(7)];
    p.icmp_code = static_cast<uint8_t>(chance(80) ? 0 : 1);
    p.icmp_id = static_cast<uint16_t>(chance(70) ? below(3) : 0x0300 + below(2));
    p.partial = (p.protocol == kTcp || p.protocol == kUdp) && chance(50);
    return p;
  }

  // A delta of one to three edits.
  void publish_edits(Bed& bed, Policy& policy) {
    Delta delta;
    for (uint32_t n = 1 + below(3); n; --n) edit(policy, delta);
    bed.publish(delta);
  }

  std::mt19937 random_;
};

TEST_CASE("property: the lookup decides as a walk through the texts, after every edit") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: the lookup decides as a walk through the texts, after every edit"));
  World world(seed);
  uint64_t by_entry = 0;
  // More where a seed makes few rules that match.
  for (int round = 0; round < 40 || (by_entry <= 10'000 && round < 400); ++round) {
    Bed bed(64u);
    Policy policy;
    Delta delta;
    delta.default_action = policy.default_action;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    for (const char* name : kNames) delta.set_workloads.push_back(workload(name));
    bed.publish(delta);
    for (int i = 0; i < 60; ++i) world.publish_edits(bed, policy);
    for (int step = 0; step < 60; ++step) {
      world.publish_edits(bed, policy);
      for (int i = 0; i < 20; ++i) {
        const FlowHeaders flow = world.flow();
        const std::string name = kNames[world.below(4)];
        const auto direction = static_cast<Direction>(world.below(2));
        const Decision got = decide(bed.context(), bed.place(name), direction, flow);
        const Hit& hit = bed.context().hits[got.hit];
        const std::string id = hit.entry ? bed.publisher().entry_id(hit.entry) : "";
        REQUIRE(OracleDecision{got.action, got.on_change, id} == policy.decides(name, direction, flow));
        by_entry += got.by_rule;
      }
    }
  }
  CHECK(by_entry > 10'000);
}

TEST_CASE("property: the pipeline lets through what the model of the firewall does") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: the pipeline lets through what the model of the firewall does"));
  World world(seed);
  uint64_t passed = 0, answered = 0, reset = 0;
  // More than 60 worlds only where few connections were reset or answered in them.
  for (int round = 0; round < 60 || ((reset <= 5 || answered <= 500) && round < 300); ++round) {
    Firewall model;
    Bed bed(4096u);
    Delta begin;
    begin.default_action = model.policy.default_action;
    begin.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    begin.timeouts = model.timeouts;
    bed.publish(begin);
    for (uint32_t w = 0; w < 4; ++w)
      bed.add(workload(kNames[w], world.mac(w), {{world.address(w, false), world.address(w, true)}}));
    // The model judges everything again after every edit: where nothing changed for a workload, that must make none.
    const auto edit = [&] {
      world.publish_edits(bed, model.policy);
      ++model.version;
    };
    for (int i = 0; i < 60; ++i) edit();
    std::vector<Packet> recent;
    for (int step = 0; step < 400; ++step) {
      if (world.chance(8)) edit();
      const uint32_t times[] = {0, 0, 1, 1, 10, 500, 5'000, 12'000, 31'000};
      if (world.chance(30)) bed.pass(times[world.below(9)]);
      uint32_t w = world.below(4), x = (w + 1 + world.below(3)) % 4;
      Packet p = world.packet(w, x);
      if (!recent.empty() && world.chance(60)) {  // again, or the answer to it
        const Packet& was = recent[world.below(static_cast<uint32_t>(recent.size()))];
        const bool back = world.chance(50);
        const Packet fresh = p;
        p = back ? was.reversed() : Packet(was);
        if (world.chance(50)) p.tcp_flags = fresh.tcp_flags;
        if (world.chance(60)) p.sequence = fresh.sequence, p.acknowledgement = fresh.acknowledgement;
        w = p.source_mac[5] - 1u, x = p.destination_mac[5] - 1u;
      }
      recent.push_back(p);
      if (recent.size() > 12) recent.erase(recent.begin());

      Batch batch(1);
      batch.set(0, p.bytes(), p.offload());
      REQUIRE(parse(*batch.frames()[0]) == Reason::kNone);
      const Outcome wanted = model.frame(*batch.frames()[0], kNames[w], kNames[x], bed.now());
      bed.send(kNames[w], p);
      bed.run();
      Outcome got;
      for (uint32_t other = 0; other < 4; ++other)
        for (const MemoryFrame& frame : bed.take(kNames[other])) {
          if (other == x && frame.bytes == p.bytes()) {
            got.passes = true;
            continue;
          }
          REQUIRE((other == w || other == x));
          REQUIRE(checksum_fault(frame.bytes) == "");
          ++(other == w ? got.to_sender : got.to_receiver);
        }
      CAPTURE(round);
      CAPTURE(step);
      REQUIRE(got.passes == wanted.passes);
      REQUIRE(got.to_sender == wanted.to_sender);
      REQUIRE(got.to_receiver == wanted.to_receiver);
      passed += got.passes, answered += got.to_sender, reset += got.to_receiver;
      if (step % 50 == 0) bed.pass(100);  // tokens for answers
    }
    CHECK(bed.drops(Reason::kConnectionsFull) == 0);
  }
  // The worlds are worth something only if everything happens in them.
  CHECK(passed > 5000);
  CHECK(answered > 500);
  CHECK(reset > 5);
}

}  // namespace
}  // namespace headgate::test
