// What sharing saves, and what it costs where there is nothing to share: the bytes that packet threads read, of one
// table for all workloads, of a private copy for each, and of rules that no two workloads have in common.
#include <doctest/doctest.h>

#include <random>

#include "tables/classifier.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr uint32_t kWorkloads = 100, kRulesEach = 200, kSharedRules = 1000;

// Rule `number`, between two /28 of its own, with one of 50 ports.
struct Rules {
  explicit Rules(uint32_t count) {
    entries.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      auto rule = std::make_shared<Rule>();
      rule->sources = {{2 * i}};
      rule->destinations = {{2 * i + 1}};
      ServiceMatch service;
      service.protocol = kTcp;
      service.ports = {{static_cast<uint16_t>(1000 + i % 50), static_cast<uint16_t>(1000 + i % 50)}};
      rule->services = {service};
      entries.push_back({"", i + 1, rule, uint64_t{i + 1} << 24, true, true});
    }
  }
  static AddressSet network(uint32_t number) {
    uint32_t first = 10u << 24 | number << 4;
    auto text = [](uint32_t a) {
      return std::to_string(a >> 24) + "." + std::to_string(a >> 16 & 255) + "." + std::to_string(a >> 8 & 255) + "." +
             std::to_string(a & 255);
    };
    return parse_address_set({text(first) + "-" + text(first + 15)});
  }
  void add(Classifier& classifier, uint32_t number, std::span<const uint32_t> workloads) const {
    for (uint32_t set : {2 * number, 2 * number + 1}) classifier.set_addresses(set, network(set));
    classifier.add(&entries[number], workloads);
  }
  std::vector<IndexEntry> entries;
};

size_t committed(Classifier& classifier) {
  classifier.commit();
  classifier.settled();
  return classifier.blocks();
}

}  // namespace

TEST_CASE("one shared table is a fraction of private copies, and disjoint rules cost little more in it") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "one shared table is a fraction*"));
  std::mt19937 random(seed);
  Rules rules(kSharedRules);
  std::vector<std::vector<uint32_t>> members(kSharedRules);
  size_t copies = 0;
  for (uint32_t w = 0; w < kWorkloads; ++w) {
    std::vector<uint32_t> numbers(kSharedRules);
    for (uint32_t i = 0; i < kSharedRules; ++i) numbers[i] = i;
    std::shuffle(numbers.begin(), numbers.end(), random);
    Classifier own;
    for (uint32_t i = 0; i < kRulesEach; ++i) {
      members[numbers[i]].push_back(w);
      rules.add(own, numbers[i], {{0}});
    }
    copies += committed(own);
  }
  Classifier shared;
  for (uint32_t i = 0; i < kSharedRules; ++i) rules.add(shared, i, members[i]);
  const size_t together = committed(shared);

  Rules many(kWorkloads * kRulesEach);
  Classifier one, of_one_workload;
  size_t apart = 0;
  for (uint32_t w = 0; w < kWorkloads; ++w) {
    Classifier own;
    for (uint32_t i = w * kRulesEach; i < (w + 1) * kRulesEach; ++i) {
      many.add(one, i, {{w}});
      many.add(of_one_workload, i, {{0}});
      many.add(own, i, {{0}});
    }
    apart += committed(own);
  }
  const size_t disjoint = committed(one), workloads = disjoint - committed(of_one_workload);
  MESSAGE(kWorkloads << " workloads with " << kRulesEach << " of " << kSharedRules << " rules: shared "
                     << together / 1024 << " KiB, private copies " << copies / 1024
                     << " KiB; with rules that nobody shares: one table " << disjoint / 1024 << " KiB, "
                     << workloads / kWorkloads << " bytes of it for each workload, a table for each " << apart / 1024
                     << " KiB");
  CHECK(together * 10 < copies);
  CHECK(disjoint < apart);
  CHECK(workloads < kWorkloads * 1536);  // it grows with a workload's rules, not with those of all
}

}  // namespace headgate::test
