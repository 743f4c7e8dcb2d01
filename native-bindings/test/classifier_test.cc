// The classifier against the naive walk, through random edits: what a reader that has taken over the new lookup sees,
// and what one sees that has not yet.
#include "tables/classifier.h"

#include <random>

#include <doctest/doctest.h>

#include "tables/lookup_memo.h"
#include "test/frames.h"
#include "test/naive_classifier.h"

namespace headgate::test {
namespace {

// A small world, so that everything overlaps: few prefixes, few ports, both families.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool chance(uint32_t percent) { return below(100) < percent; }

  Address address() {
    Address a{};
    if (chance(60)) {
      a.bytes[10] = a.bytes[11] = 0xff;
      a.bytes[12] = static_cast<uint8_t>(10 + below(2));
      a.bytes[13] = static_cast<uint8_t>(below(3));
      a.bytes[14] = static_cast<uint8_t>(below(4));
      a.bytes[15] = static_cast<uint8_t>(chance(20) ? below(256) : below(8));
    } else {
      a.bytes[0] = 0xfd;
      a.bytes[7] = static_cast<uint8_t>(below(3));
      a.bytes[8] = static_cast<uint8_t>(chance(10) ? 0x80 : 0);
      a.bytes[15] = static_cast<uint8_t>(below(16));
    }
    return a;
  }

  AddressSet set() {
    std::vector<AddressRange> ranges;
    for (uint32_t i = 0, n = chance(5) ? 0 : 1 + below(chance(10) ? 60 : 4); i < n; ++i) {
      Address first = address(), last = first;
      unsigned host = chance(50) ? 0 : below(is_ipv4(first) ? 26 : 120);
      for (unsigned bit = 0; bit < host; ++bit) {
        uint8_t mask = static_cast<uint8_t>(1 << (bit % 8));
        first.bytes[15 - bit / 8] &= static_cast<uint8_t>(~mask);
        last.bytes[15 - bit / 8] |= mask;
      }
      if (chance(2)) first = Address{}, last.bytes.fill(0xff);
      ranges.push_back({first, last});
    }
    return AddressSet(ranges);
  }

  PortRange ports() {
    uint16_t first = static_cast<uint16_t>(below(6) * 100);
    return {first, static_cast<uint16_t>(chance(50) ? first : chance(10) ? 65535 : first + below(300))};
  }

  ServiceMatch service() {
    static constexpr int kProtocols[] = {-1, kTcp, kTcp, kTcp, kUdp, kUdp, kSctp, kIcmp, kIcmp6, 47, 0};
    ServiceMatch s;
    s.protocol = kProtocols[below(std::size(kProtocols))];
    bool icmp = s.protocol == kIcmp || s.protocol == kIcmp6 || (s.protocol < 0 && chance(20));
    if (icmp && chance(70)) s.icmp_type = static_cast<int>(below(4));
    if (icmp && chance(40)) s.icmp_code = static_cast<int>(below(3));
    for (uint32_t i = 0, n = icmp ? 0 : below(3); i < n; ++i) s.ports.push_back(ports());
    if (!icmp && chance(15)) s.source_ports.push_back(ports());
    if (!icmp && chance(5)) s.source_ports.push_back(ports());
    return s;
  }

  FlowHeaders flow() {
    static constexpr uint8_t kProtocols[] = {kTcp, kTcp, kTcp, kUdp, kUdp, kSctp, kIcmp, kIcmp6, 47, 0, 255};
    FlowHeaders f;
    f.source = address();
    f.destination = address();
    f.protocol = kProtocols[below(std::size(kProtocols))];
    if (f.protocol == kIcmp || f.protocol == kIcmp6) {
      f.icmp_type = static_cast<uint8_t>(below(5));
      f.icmp_code = static_cast<uint8_t>(below(4));
    }
    if (f.protocol == kTcp || f.protocol == kUdp || f.protocol == kSctp) {
      f.destination_port = static_cast<uint16_t>(below(8) * 100 + below(2) * below(300));
      f.source_port = static_cast<uint16_t>(below(8) * 100);
    }
    return f;
  }

  std::mt19937_64 random_;
};

// The classifier and its judge, given the same edits.
class Pair {
 public:
  static constexpr uint32_t kWorkloads = 6;
  Pair(World& world, uint32_t sets) : world_(world), set_users_(sets, 0) {
    for (uint32_t set = 0; set < sets; ++set) change_set(set);
  }

  void change_set(uint32_t set) {
    AddressSet now = world_.set();
    classifier_.set_addresses(set, now);
    naive_.set_addresses(set, now);
  }

  void add() {
    auto rule = std::make_shared<Rule>();
    auto names = [&](std::optional<std::vector<uint32_t>>& named) {
      if (world_.chance(25)) return;
      named.emplace();
      for (uint32_t i = 0, n = world_.chance(4) ? 0 : 1 + world_.below(3); i < n; ++i)
        named->push_back(world_.below(static_cast<uint32_t>(set_users_.size())));
    };
    names(rule->sources);
    names(rule->destinations);
    if (world_.chance(70)) {
      rule->services.emplace();
      for (uint32_t i = 0, n = world_.chance(4) ? 0 : 1 + world_.below(3); i < n; ++i)
        rule->services->push_back(world_.service());
    }
    auto entry = std::make_unique<IndexEntry>();
    entry->serial = next_++;
    entry->rule = rule;
    do entry->order = uint64_t{world_.below(4)} << kCategoryShift | uint64_t{world_.below(1 << 20)} << world_.below(24);
    while (!orders_.insert(entry->order).second);
    entry->in = world_.chance(70);
    entry->out = !entry->in || world_.chance(50);
    std::vector<uint32_t> workloads;
    for (uint32_t w = 0; w < kWorkloads; ++w)
      if (world_.chance(50)) workloads.push_back(w);
    classifier_.add(entry.get(), workloads);
    naive_.add(entry.get(), workloads);
    entries_.push_back(std::move(entry));
  }

  void remove() {
    if (entries_.empty()) return;
    uint32_t which = world_.below(static_cast<uint32_t>(entries_.size()));
    classifier_.remove(entries_[which].get());
    naive_.remove(entries_[which].get());
    orders_.erase(entries_[which]->order);
    removed_.push_back(std::move(entries_[which]));
    entries_[which] = std::move(entries_.back());
    entries_.pop_back();
  }

  void join_or_leave() {
    std::vector<const IndexEntry*> some;
    for (const auto& entry : entries_)
      if (world_.chance(20)) some.push_back(entry.get());
    uint32_t workload = world_.below(kWorkloads);
    if (world_.chance(50)) {
      classifier_.join(workload, some);
      naive_.join(workload, some);
    } else {
      classifier_.leave(workload, some);
      naive_.leave(workload, some);
    }
  }

  // Through the memo, which has seen earlier lookups too.
  void compare(const Lookup& lookup, const NaiveClassifier& naive, uint32_t flows) {
    for (uint32_t i = 0; i < flows; ++i) {
      FlowHeaders flow = world_.flow();
      uint32_t workload = world_.below(kWorkloads);
      auto direction = static_cast<Direction>(world_.below(2));
      uint64_t from = 0;
      for (int step = 0; step < 3; ++step) {
        const IndexEntry* expected = naive.first_match(workload, direction, flow, from);
        REQUIRE(lookup.first_match(workload, direction, flow, from) == expected);
        REQUIRE(memo_.first_match(lookup, workload, direction, flow, from) == expected);
        if (!expected) break;
        from = world_.chance(50) ? expected->order + 1 : expected->next_category();
      }
    }
    compare_batch(lookup, naive);
  }

  // Questions that are asked together; some are about the flow before.
  void compare_batch(const Lookup& lookup, const NaiveClassifier& naive) {
    FlowHeaders flows[Lookup::kBatch];
    Lookup::Question questions[Lookup::kBatch];
    const IndexEntry* answers[Lookup::kBatch];
    const size_t count = world_.below(Lookup::kBatch + 1);
    for (size_t i = 0; i < count; ++i) {
      flows[i] = world_.flow();
      const FlowHeaders* flow = i && world_.chance(30) ? questions[i - 1].flow : &flows[i];
      questions[i] = {world_.below(kWorkloads), static_cast<Direction>(world_.below(2)), flow};
    }
    lookup.first_matches({questions, count}, answers);
    memo_.anticipate(lookup, {questions, count});
    for (size_t i = 0; i < count; ++i) {
      const auto& [workload, direction, flow] = questions[i];
      const IndexEntry* expected = naive.first_match(workload, direction, *flow, 0);
      REQUIRE(answers[i] == expected);
      REQUIRE(memo_.first_match(lookup, workload, direction, *flow, 0) == expected);
    }
  }

  void empty() {
    while (!entries_.empty()) remove();
    for (uint32_t set = 0; set < set_users_.size(); ++set) classifier_.drop_addresses(set), naive_.drop_addresses(set);
  }

  World& world_;
  Classifier classifier_;
  NaiveClassifier naive_;
  LookupMemo memo_;
  std::vector<uint32_t> set_users_;
  std::vector<std::unique_ptr<IndexEntry>> entries_, removed_;
  std::set<uint64_t> orders_;
  uint32_t next_ = 1;
};

void run(uint64_t seed, uint32_t entries, uint32_t sets, int rounds) {
  World world(seed);
  Pair pair(world, sets);
  for (uint32_t i = 0; i < entries; ++i) pair.add();
  auto lookup = pair.classifier_.commit();
  pair.classifier_.settled();
  pair.compare(*lookup, pair.naive_, 300);
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(seed);
    CAPTURE(round);
    NaiveClassifier before = pair.naive_;
    for (uint32_t i = 0, n = 1 + world.below(4); i < n; ++i) {
      uint32_t kind = world.below(100);
      if (kind < 30)
        pair.add();
      else if (kind < 60)
        pair.remove();
      else if (kind < 80)
        pair.change_set(world.below(sets));
      else
        pair.join_or_leave();
    }
    auto next = pair.classifier_.commit();
    {
      INFO("by a reader that has not taken it over");
      pair.compare(*lookup, before, 30);
    }
    {
      INFO("by one that has");
      pair.compare(*next, pair.naive_, 60);
    }
    lookup = next;
    pair.classifier_.settled();
    pair.removed_.clear();
    pair.compare(*lookup, pair.naive_, 30);
  }
}

}  // namespace

TEST_CASE("the classifier answers as the naive walk does, for readers before and behind each edit") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "the classifier answers as the naive walk does*"));
  for (uint32_t world = 0; world < 40; ++world) run(seed + world, world % 4 == 0 ? 400 : 30, world % 2 ? 12 : 60, 40);
}

TEST_CASE("memory returns to where it began") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "memory returns to where it began"));
  World world(seed);
  Pair pair(world, 40);
  auto cycle = [&] {
    for (uint32_t set = 0; set < 40; ++set) pair.change_set(set);
    for (int i = 0; i < 200; ++i) pair.add();
    pair.classifier_.commit();
    pair.classifier_.settled();
    pair.empty();
    pair.classifier_.commit();
    for (int i = 0; i < 3; ++i) pair.classifier_.settled(), pair.classifier_.commit();
    pair.removed_.clear();
    return pair.classifier_.blocks();
  };
  size_t first = cycle();
  for (int i = 0; i < 20; ++i) CHECK(cycle() == first);
  CHECK(pair.classifier_.slots() == 0);
}

}  // namespace headgate::test
