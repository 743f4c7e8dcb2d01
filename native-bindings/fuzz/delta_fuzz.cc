// Changes of policy as a broken or hostile control might send them: a script of bytes makes deltas with good and bad
// names, numbers and texts, and references to what is there, what comes and what is not.
//
// Invariants: a refused delta changes nothing of the inventory and of what the packet path sees; after an accepted one
// the inventory is what the deltas say, and the generation that is built is consistent: every place that is named
// exists, every rule is the current one under its key, epochs and serials are each used once.
#include <algorithm>
#include <map>
#include <set>

#include "fuzz/fuzz.h"
#include "ports/memory.h"
#include "tables/publisher.h"

namespace headgate::fuzz {
namespace {

uint64_t accepted = 0, refused = 0;

std::string name(Reader& in, const char* kind) {
  const uint32_t n = in.below(12);
  return n == 11 ? "" : n == 10 ? "nowhere" : kind + std::to_string(n % 6);
}

std::string range(Reader& in) {
  static const char* const kRanges[] = {
      "10.0.0.0/8", "10.0.0.7",   "fd00::/16",  "10.0.0.1-10.0.0.9", "::/0",
      "0.0.0.0/0",  "::/80",      "10.0.0.1/8", "fd00::1-",          "x",
      "",           "1.2.3.4/33", "fd00::1",    "fd00::1-fd00::2",   "10.0.0.9-10.0.0.1"};
  const uint32_t n = in.below(40);
  if (n < std::size(kRanges)) return kRanges[n];
  if (n == 39) {  // raw
    const auto bytes = in.take(in.below(50));
    return {bytes.begin(), bytes.end()};
  }
  return "10." + std::to_string(n) + ".0.0/16";
}

template <class Make>
auto list(Reader& in, uint32_t most, Make make) {
  std::vector<decltype(make())> all;
  for (uint32_t n = in.below(most + 1); n; --n) all.push_back(make());
  return all;
}

std::vector<std::string> names(Reader& in, const char* kind, uint32_t most) {
  return list(in, most, [&] { return name(in, kind); });
}

ServiceMatch service(Reader& in) {
  ServiceMatch s;
  const auto number = [&] {
    const uint32_t n = in.below(8);
    return n < 3 ? -1 : n == 7 ? 255 + static_cast<int>(in.below(3)) : static_cast<int>(in.byte());
  };
  s.protocol = number(), s.icmp_type = number(), s.icmp_code = number();
  const auto ports = [&] {
    return list(in, 2, [&] { return PortRange{in.word(), static_cast<uint16_t>(in.below(4) ? 65535 : in.word())}; });
  };
  s.ports = ports(), s.source_ports = ports();
  return s;
}

std::string digest(Reader& in) {
  return std::to_string(in.below(4));
}

IndexChangeTable table(Reader& in) {
  IndexChangeTable index(in.below(20) == 0 ? in.below(6) : kCategories);
  for (auto& category : index) category = names(in, "r", 3);
  return index;
}

Delta read_delta(Reader& in) {
  Delta d;
  const uint32_t what = in.word();  // most deltas touch few things
  const auto wants = [&](int bit) { return (what >> bit & 1) != 0; };
  if (wants(0)) d.default_action = in.below(2) ? Action::kAllow : Action::kDrop;
  if (wants(1)) d.timeouts.emplace().denied = in.word();
  if (wants(2))
    d.set_address_sets = list(in, 2, [&] {
      return AddressSetChange{name(in, "s"), digest(in), list(in, 3, [&] { return range(in); })};
    });
  if (wants(3))
    d.set_rules = list(in, 3, [&] {
      RuleChange r;
      r.key = name(in, "r");
      if (in.below(2)) r.sources = names(in, "s", 2);
      if (in.below(2)) r.destinations = names(in, "s", 2);
      if (in.below(2)) r.services = list(in, 2, [&] { return service(in); });
      r.action = static_cast<Action>(in.below(4));
      r.on_change = static_cast<OnChange>(in.below(3));
      r.observe = in.below(2), r.log = in.below(2);
      return r;
    });
  if (wants(4))
    d.set_segments = list(in, 2, [&] {
      const int vlan = in.below(4) ? 0 : static_cast<int>(in.word()) - 1,
                inner = in.below(4) ? 0 : static_cast<int>(in.word());
      return SegmentChange{name(in, "g"), digest(in), vlan, inner, name(in, "t")};
    });
  if (wants(5))
    d.set_workloads = list(in, 3, [&] {
      WorkloadChange w{name(in, "w"), digest(in), name(in, "g"), in.below(6) == 0, {}, {}};
      static const char* const kMacs[] = {"02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03",
                                          "03:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00",
                                          "02-00-00-00-00-01"};
      if (in.below(2)) w.mac = kMacs[in.below(7)];
      if (in.below(2)) w.addresses = list(in, 2, [&] { return range(in); });
      return w;
    });
  if (wants(6))
    d.set_indexes = list(in, 2, [&] { return IndexChange{name(in, "w"), digest(in), table(in), table(in)}; });
  if (wants(7)) d.remove_address_sets = names(in, "s", 2);
  if (wants(8)) d.remove_rules = names(in, "r", 2);
  if (wants(9)) d.remove_segments = names(in, "g", 2);
  if (wants(10)) d.remove_workloads = names(in, "w", 2);
  return d;
}

// What the deltas said, kept by plain means.
struct Model {
  std::optional<Action> default_action;
  std::map<std::string, std::string> sets, segments, workloads, indexes;
  std::set<std::string> rules;

  void apply(const Delta& d) {
    if (d.default_action) default_action = d.default_action;
    if (!default_action) default_action = Action::kDrop;
    for (const auto& s : d.set_address_sets) sets[s.name] = s.digest;
    for (const auto& r : d.set_rules) rules.insert(r.key);
    for (const auto& s : d.set_segments) segments[s.name] = s.digest;
    for (const auto& w : d.set_workloads) workloads[w.name] = w.digest;
    for (const auto& i : d.set_indexes) indexes[i.workload] = i.digest;
    for (const auto& n : d.remove_workloads) workloads.erase(n), indexes.erase(n);
    for (const auto& n : d.remove_rules) rules.erase(n);
    for (const auto& n : d.remove_address_sets) sets.erase(n);
    for (const auto& n : d.remove_segments) segments.erase(n);
  }
  void compare(const Publisher& publisher) const {
    const auto view = publisher.inventory();
    if (view.default_action != default_action) fail("another default action");
    if (view.address_sets != sets) fail("other address sets");
    if (view.segments != segments) fail("other segments");
    if (view.workloads != workloads) fail("other workloads");
    if (view.indexes != indexes) fail("other indexes");
    if (std::set<std::string>(view.rules.begin(), view.rules.end()) != rules || view.rules.size() != rules.size())
      fail("other rules");
  }
};

bool same(const Generation& a, const Generation& b) {
  return a.default_action == b.default_action && a.timeouts.denied == b.timeouts.denied && a.workloads == b.workloads &&
         a.trackers == b.trackers && a.segments.size() == b.segments.size() && a.ports.size() == b.ports.size();
}

void check(const Generation& g, const Publisher& publisher, uint32_t& newest_epoch) {
  std::set<uint32_t> epochs, serials;
  std::vector<size_t> members(g.segments.size());
  for (uint32_t i = 0; i < g.workloads.size(); ++i) {
    if (!g.workloads[i]) continue;
    const Workload& w = *g.workloads[i];
    if (!epochs.insert(w.epoch).second || !serials.insert(w.serial).second) fail("an epoch or serial is used twice");
    newest_epoch = std::max(newest_epoch, w.epoch);
    if (w.segment >= g.segments.size() || !g.segments[w.segment]) fail("a workload in no segment");
    const Segment& segment = *g.segments[w.segment];
    if (std::count(segment.members.begin(), segment.members.end(), i) != 1)
      fail("a workload that is no member of its segment");
    ++members[w.segment];
    if (w.pinned_mac && segment.macs->find(w.mac.data(), 0) != i) fail("a pinned MAC that is not found");
    for (const IndexTable* index : {&w.in, &w.out}) {
      uint32_t last = 0;
      for (uint32_t end : index->category_end) {
        if (end < last || end > index->rules.size()) fail("categories out of order");
        last = end;
      }
      if (last != index->rules.size()) fail("rules behind the last category");
      for (const auto& rule : index->rules)
        if (!rule || publisher.rule_key(rule->serial) != rule->key) fail("an index with a rule that is gone");
    }
    if (w.port != kNoPort && (w.port >= g.ports.size() || !g.ports[w.port].attached))
      fail("a workload on a port that is gone");
  }
  for (size_t i = 0; i < g.segments.size(); ++i) {
    if (!g.segments[i]) continue;
    if (g.segments[i]->members.size() != members[i]) fail("a segment with strange members");
    if (g.segments[i]->tracker >= g.trackers.size()) fail("a segment without a tracker");
  }
}

}  // namespace

std::vector<std::vector<uint8_t>> seeds() {
  // Scripts of chance: structure comes from read_delta.
  std::vector<std::vector<uint8_t>> all;
  uint32_t state = 12345;
  for (int i = 0; i < 64; ++i) {
    std::vector<uint8_t> bytes(64 + 8 * i);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
    all.push_back(bytes);
  }
  return all;
}

std::string summary() {
  return std::to_string(accepted) + " deltas accepted, " + std::to_string(refused) + " refused";
}

}  // namespace headgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headgate;
  using namespace headgate::fuzz;
  Reader in(data, size);
  Publisher publisher;
  Model model;
  uint32_t newest_epoch = 0;
  // Something to begin with, so that references are mostly good.
  Delta begin;
  begin.default_action = Action::kDrop;
  model.apply(begin);
  for (int i = 0; i < 6; ++i) {
    const std::string n = std::to_string(i);
    begin.set_address_sets.push_back({"s" + n, "0", {"10.0.0.0/8"}});
    RuleChange rule;
    rule.key = "r" + n;
    rule.sources = {{"s" + n}};
    begin.set_rules.push_back(rule);
    if (i % 2) continue;
    begin.set_segments.push_back({"g" + n, "0", 0, 0, "t" + n});
    begin.set_workloads.push_back({"w" + n, "0", "g" + n, false, {}, {}});
    begin.set_indexes.push_back({"w" + n, "0", {{}, {"r0", "r1"}, {}, {"r" + n}}, {{"r2"}, {}, {}, {}}});
  }
  if (Refusal refusal = publisher.apply(begin)) fail(refusal.message);
  model.apply(begin);
  auto before = publisher.build();
  check(*before, publisher, newest_epoch);
  while (!in.empty()) {
    if (in.below(8) == 0) {  // ports come and go
      const std::string who = name(in, "w");
      if (in.below(2)) {
        auto attached = std::make_shared<AttachedPort>();
        attached->port = std::make_unique<MemoryPort>();
        attached->device = who;
        attached->trunk = in.below(4) == 0;
        publisher.bind(who, attached);
      } else {
        publisher.unbind(who);
      }
      before = publisher.build();
      check(*before, publisher, newest_epoch);
    }
    const Delta delta = read_delta(in);
    const Refusal refusal = publisher.apply(delta);
    if (refusal) {
      ++refused;
      if (refusal.message.empty()) fail("a refusal without words");
      auto after = publisher.build();
      if (!same(*before, *after)) fail("a refused delta changed something");
      before = after;
    } else {
      ++accepted;
      model.apply(delta);
      const uint32_t known = newest_epoch;
      auto after = publisher.build();
      check(*after, publisher, newest_epoch);
      for (size_t i = 0; i < after->workloads.size(); ++i)
        if (after->workloads[i] && after->workloads[i]->epoch <= known &&
            (i >= before->workloads.size() || after->workloads[i] != before->workloads[i]))
          fail("a workload that changed kept its epoch");
      before = after;
      if (in.below(2)) publisher.settled();
    }
    model.compare(publisher);
  }
  return 0;
}
