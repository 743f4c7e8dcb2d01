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

  IndexChangeTable table(const Rules& rules) {
    IndexChangeTable index(kCategories);
    for (auto& category : index)
      for (uint32_t n = below(4); n; --n)
        category.push_back(std::next(rules.begin(), below(static_cast<uint32_t>(rules.size())))->first);
    return index;
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
    const uint8_t types4[] = {8, 8, 0, 0, 3, 5, 13}, types6[] = {128, 128, 129, 129, 1, 3, 4};
    p.icmp_type = v6 ? types6[below(7)] : types4[below(7)];
    p.icmp_code = static_cast<uint8_t>(chance(80) ? 0 : 1);
    p.icmp_id = static_cast<uint16_t>(chance(70) ? below(3) : 0x0300 + below(2));
    p.partial = (p.protocol == kTcp || p.protocol == kUdp) && chance(50);
    return p;
  }

  std::mt19937 random_;
};

TEST_CASE("property: the lookup decides as a walk through the texts") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: the lookup decides as a walk through the texts"));
  World world(seed);
  for (int round = 0; round < 400; ++round) {
    Delta delta;
    Sets sets;
    Rules rules;
    delta.default_action = world.chance(50) ? Action::kAllow : Action::kDrop;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    delta.set_workloads.push_back(workload("w"));
    for (uint32_t i = 0; i < 4; ++i) {
      auto& ranges = sets["s" + std::to_string(i)];
      for (uint32_t n = world.below(4); n; --n) ranges.push_back(world.range());
      delta.set_address_sets.push_back({"s" + std::to_string(i), "1", ranges});
    }
    for (uint32_t i = 0; i < 12; ++i) {
      const RuleChange r = world.rule("r" + std::to_string(i), sets);
      rules[r.key] = r;
      delta.set_rules.push_back(r);
    }
    const IndexChangeTable in = world.table(rules), out = world.table(rules);
    delta.set_indexes.push_back({"w", "1", in, out});
    Bed bed(64u);
    bed.publish(delta);
    for (int i = 0; i < 100; ++i) {
      const FlowHeaders flow = world.flow();
      for (Direction d : {Direction::kIn, Direction::kOut}) {
        const Decision got = decide(bed.context(), *bed.context().generation->workloads[0], d, flow);
        const Hit& hit = bed.context().hits[got.hit];
        const OracleDecision wanted =
            oracle_decides(sets, rules, d == Direction::kIn ? in : out, *delta.default_action, flow);
        REQUIRE(OracleDecision{got.action, got.on_change, hit.rule ? bed.publisher().rule_key(hit.rule) : ""} ==
                wanted);
      }
    }
  }
}

TEST_CASE("property: the pipeline lets through what the model of the firewall does") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: the pipeline lets through what the model of the firewall does"));
  World world(seed);
  uint64_t passed = 0, answered = 0, reset = 0;
  for (int round = 0; round < 60; ++round) {
    Firewall model;
    Bed bed(4096u);
    Delta begin;
    begin.default_action = model.default_action = world.chance(50) ? Action::kAllow : Action::kDrop;
    begin.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    begin.timeouts = model.timeouts;
    bed.publish(begin);
    for (uint32_t w = 0; w < 4; ++w) {
      bed.add(workload(kNames[w], world.mac(w), {{world.address(w, false), world.address(w, true)}}));
      model.indexes[kNames[w]] = {IndexChangeTable(kCategories), IndexChangeTable(kCategories)};
    }
    const auto touch = [&](const std::string& name) { ++model.versions[name]; };
    const auto edit = [&] {
      Delta delta;
      const uint32_t what = world.below(10);
      if (what == 0) {
        const Action now = world.chance(50) ? Action::kAllow : Action::kDrop;
        if (now != model.default_action)
          for (const char* name : kNames) touch(name);
        delta.default_action = model.default_action = now;
      } else if (what <= 2 || model.rules.size() < 4) {
        for (uint32_t n = 4; n; --n) {
          const RuleChange r = world.rule("r" + std::to_string(world.below(12)), model.sets);
          if (std::any_of(delta.set_rules.begin(), delta.set_rules.end(),
                          [&](const auto& other) { return other.key == r.key; }))
            continue;
          model.rules[r.key] = r;
          delta.set_rules.push_back(r);
        }
      } else if (what <= 4) {
        const std::string name = "s" + std::to_string(world.below(4));
        model.sets[name] = {world.range(), world.range()};
        delta.set_address_sets.push_back({name, "1", model.sets[name]});
      } else {
        const std::string name = kNames[world.below(4)];
        model.indexes[name] = {world.table(model.rules), world.table(model.rules)};
        delta.set_indexes.push_back({name, "1", model.indexes[name].first, model.indexes[name].second});
        touch(name);
      }
      // A rule that changed, itself or by a set, touches whoever refers to it.
      for (const char* name : kNames) {
        bool refers = false;
        const auto& [in, out] = model.indexes[name];
        for (const auto* table : {&in, &out})
          for (const auto& category : *table)
            for (const std::string& key : category) {
              for (const RuleChange& r : delta.set_rules) refers |= r.key == key;
              for (const auto& set : delta.set_address_sets)
                for (const auto* names : {&model.rules.at(key).sources, &model.rules.at(key).destinations})
                  if (*names) refers |= std::count((*names)->begin(), (*names)->end(), set.name) > 0;
            }
        if (refers) touch(name);
      }
      bed.publish(delta);
    };
    for (int i = 0; i < 6; ++i) edit();
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
        const uint8_t flags = p.tcp_flags;
        p = back ? was.reversed() : Packet(was);
        if (world.chance(50)) p.tcp_flags = flags;
        w = p.source_mac[5] - 1u, x = p.destination_mac[5] - 1u;
      }
      recent.push_back(p);
      if (recent.size() > 12) recent.erase(recent.begin());

      Batch batch(1);
      batch.set(0, p.bytes(), p.offload());
      REQUIRE(parse(*batch.frames()[0]) == Reason::kNone);
      const Outcome wanted = model.frame(batch.frames()[0]->headers, kNames[w], kNames[x], bed.now());
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
