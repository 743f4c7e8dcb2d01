// Changes of policy as a broken or hostile control might send them: a script of bytes makes deltas with good and bad
// names, numbers and texts, and references to what is there, what comes and what is not.
//
// Invariants: a refused delta changes nothing of the inventory and of what the packet path sees; after an accepted one
// the inventory is what the deltas say, and the generation that is built is consistent: every place that is named
// exists, index tables hold what the deltas say, epochs and serials are each used once.
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
  return n == 11                   ? (in.below(2) ? "" : "nowhere")
         : n == 10 && *kind == 'r' ? "any"
         : n == 10                 ? "nowhere"
                                   : kind + std::to_string(n % 6);
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

EntryChange entry(Reader& in) {
  EntryChange e{name(in, "e"), digest(in), name(in, "r"), in.below(4), in.below(64), false, false, name(in, "c")};
  const uint32_t direction = in.below(16);
  e.in = direction<10, e.out = direction> 4 && direction < 15;
  if (in.below(20) == 0) e.category = in.byte();
  if (in.below(20) == 0) e.order = uint64_t{in.word()} << 40;
  return e;
}

Delta read_delta(Reader& in) {
  Delta d;
  const uint32_t what = in.word() & in.word() & (in.below(4) ? in.word() : 0xffffu);  // most deltas touch few things
  const auto wants = [&](int bit) { return (what >> bit & 1) != 0; };
  if (wants(0)) d.default_action = in.below(2) ? Action::kAllow : Action::kDrop;
  if (wants(1)) d.timeouts.emplace().denied = in.word();
  if (wants(1)) d.limits = {in.word(), in.word(), in.word()};
  if (wants(2))
    d.set_address_sets = list(in, 2, [&] {
      return AddressSetChange{name(in, "s"), digest(in), list(in, 3, [&] { return range(in); })};
    });
  if (wants(3))
    d.set_rules = list(in, 3, [&] {
      RuleChange r;
      r.key = name(in, "r");
      if (r.key == "any") r.key = "r0";  // that one stays without conditions
      if (in.below(2)) r.sources = names(in, "s", 2);
      if (in.below(2)) r.destinations = names(in, "s", 2);
      if (in.below(2)) r.services = list(in, 2, [&] { return service(in); });
      r.action = static_cast<Action>(in.below(4));
      r.on_change = static_cast<OnChange>(in.below(3));
      r.observe = in.below(2), r.log = in.below(2);
      r.helper = static_cast<Helper>(in.below(3));
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
      if (in.below(4) == 0) w.limits = {in.word(), in.word(), in.word()};
      if (in.below(2)) w.addresses = list(in, 2, [&] { return range(in); });
      return w;
    });
  if (wants(6)) d.set_entries = list(in, 3, [&] { return entry(in); });
  if (wants(11)) d.set_scopes = list(in, 2, [&] { return ScopeChange{name(in, "c"), digest(in), names(in, "w", 3)}; });
  if (wants(12))
    d.edit_scopes = list(in, 2, [&] {
      return ScopeEdit{name(in, "c"), digest(in), names(in, "w", 2), names(in, "w", 2)};
    });
  if (wants(13))
    d.edit_address_sets = list(in, 2, [&] {
      return AddressSetEdit{name(in, "s"), digest(in), list(in, 2, [&] { return range(in); }),
                            list(in, 2, [&] { return range(in); })};
    });
  if (wants(14)) d.remove_scopes = names(in, "c", 2);
  if (wants(15)) d.remove_entries = names(in, "e", 2);
  if (wants(7)) d.remove_address_sets = names(in, "s", 2);
  if (wants(8)) d.remove_rules = names(in, "r", 2);
  if (wants(9)) d.remove_segments = names(in, "g", 2);
  if (wants(10)) d.remove_workloads = names(in, "w", 2);
  return d;
}

// What the deltas said, kept by plain means.
struct Model {
  std::optional<Action> default_action;
  std::map<std::string, std::string> sets, segments, workloads, scopes;
  std::set<std::string> rules;
  std::map<std::string, std::set<std::string>> members;  // of scopes
  std::map<std::string, EntryChange> entries;

  void apply(const Delta& d) {
    if (d.default_action) default_action = d.default_action;
    if (!default_action) default_action = Action::kDrop;
    for (const auto& s : d.set_address_sets) sets[s.name] = s.digest;
    for (const auto& s : d.edit_address_sets) sets[s.name] = s.digest;
    for (const auto& r : d.set_rules) rules.insert(r.key);
    for (const auto& s : d.set_segments) segments[s.name] = s.digest;
    for (const auto& w : d.set_workloads) workloads[w.name] = w.digest;
    for (const auto& s : d.set_scopes) {
      scopes[s.name] = s.digest;
      members[s.name] = {s.workloads.begin(), s.workloads.end()};
    }
    for (const auto& s : d.edit_scopes) {
      scopes[s.name] = s.digest;
      for (const auto& n : s.remove) members[s.name].erase(n);
      members[s.name].insert(s.add.begin(), s.add.end());
    }
    for (const auto& e : d.set_entries) entries[e.id] = e;
    for (const auto& n : d.remove_entries) entries.erase(n);
    for (const auto& n : d.remove_scopes) scopes.erase(n), members.erase(n);
    for (const auto& n : d.remove_workloads) workloads.erase(n);
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
    if (view.scopes != scopes) fail("other scopes");
    if (view.entries.size() != entries.size()) fail("other entries");
    for (const auto& [id, e] : entries) {
      auto held = view.entries.find(id);
      if (held == view.entries.end() || held->second.digest != e.digest || held->second.category != e.category ||
          held->second.order != e.order)
        fail("another entry");
    }
    if (std::set<std::string>(view.rules.begin(), view.rules.end()) != rules || view.rules.size() != rules.size())
      fail("other rules");
  }
};

bool same(const Generation& a, const Generation& b) {
  return a.number == b.number && a.default_action == b.default_action && a.profiles[0] == b.profiles[0] &&
         a.limits == b.limits && a.topology == b.topology && a.epochs_held == b.epochs_held && a.lookup == b.lookup;
}

// What the lookup says against what the deltas said: the entries without conditions of a workload, in order.
void check_tables(const Generation& g, const Model& model) {
  for (uint32_t i = 0; i < g.workloads.size(); ++i) {
    if (!g.workloads[i]) continue;
    for (Direction d : {Direction::kIn, Direction::kOut}) {
      std::map<uint64_t, const EntryChange*> wanted;
      for (const auto& [id, e] : model.entries) {
        auto scope = model.members.find(e.scope);
        if (scope == model.members.end() || model.scopes.count(e.scope) == 0) fail("an entry for a scope that is gone");
        if ((d == Direction::kIn ? e.in : e.out) && scope->second.count(g.workloads[i]->name))
          wanted[uint64_t{e.category} << kCategoryShift | e.order] = &e;
      }
      std::set<std::string> seen;
      uint64_t from = 0;
      while (const IndexEntry* entry = g.lookup->first_match(i, d, FlowHeaders{}, from)) {
        auto at = wanted.find(entry->order);
        if (at == wanted.end() || at->second->id != entry->id || at->second->rule != entry->rule->key)
          fail("an entry that should not be there");
        seen.insert(entry->id);
        from = entry->order + 1;
      }
      for (const auto& [order, e] : wanted)
        if (e->rule == "any" && !seen.count(e->id)) fail("an entry without conditions that is missing");
    }
  }
}

void check(const Generation& g, const Publisher& publisher, uint32_t& newest_epoch) {
  std::set<uint32_t> epochs, serials;
  std::vector<size_t> members(g.segments.size());
  for (uint32_t i = 0; i < g.workloads.size(); ++i) {
    if (!g.workloads[i]) continue;
    const Workload& w = *g.workloads[i];
    if (!epochs.insert(g.epochs[i]).second || !serials.insert(w.serial).second)
      fail("an epoch or serial is used twice");
    newest_epoch = std::max(newest_epoch, g.epochs[i]);
    if (publisher.workload_name(w.serial) != w.name) fail("a workload without its serial");
    if (w.segment == kNoSegment) {
      if (w.port != kNoPort) fail("a tracker with a port");
      continue;
    }
    if (w.segment >= g.segments.size() || !g.segments[w.segment]) fail("a workload in no segment");
    const Segment& segment = *g.segments[w.segment];
    if (std::count(segment.members.begin(), segment.members.end(), i) != 1)
      fail("a workload that is no member of its segment");
    ++members[w.segment];
    if (w.pinned_mac && segment.macs->find(w.mac.data(), 0) != i) fail("a pinned MAC that is not found");
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
  Publisher publisher(12);  // a limit that is met
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
    begin.set_scopes.push_back({"c" + n, "0", {"w" + n, "w0"}});
    begin.set_entries.push_back({"e" + n, "0", "r" + n, static_cast<uint32_t>(i % 4), 100u + i, true, i > 2, "c" + n});
  }
  RuleChange any;
  any.key = "any";
  begin.set_rules.push_back(any);
  begin.set_entries.push_back({"first", "0", "any", 1, 1000, true, true, "c0"});
  if (Refusal refusal = publisher.apply(begin)) fail(refusal.message);
  model.apply(begin);
  auto before = publisher.build();
  check(*before, publisher, newest_epoch);
  check_tables(*before, model);
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
    Delta delta = read_delta(in);
    const uint32_t base = in.below(16);
    if (base < 8) delta.base = publisher.number() - (base == 0);
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
      check_tables(*after, model);
      if (delta.base && *delta.base + 1 != publisher.number()) fail("a stale delta was accepted");
      for (size_t i = 0; i < after->workloads.size(); ++i)
        if (after->workloads[i] && after->epochs[i] <= known &&
            (i >= before->workloads.size() || !before->workloads[i] ||
             after->workloads[i]->serial != before->workloads[i]->serial ||
             after->workloads[i]->digest != before->workloads[i]->digest))
          fail("a workload that changed kept its epoch");
      before = after;
      if (in.below(2)) publisher.settled();
    }
    model.compare(publisher);
  }
  return 0;
}
