// The memo asks again only where something differs that the answer depends on.
#include "tables/lookup_memo.h"

#include <doctest/doctest.h>

#include "tables/classifier.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

IndexEntry entry_for(uint16_t source_port, uint64_t order) {
  Rule rule;
  ServiceMatch service;
  service.protocol = kTcp;
  if (source_port) service.source_ports = {{source_port, source_port}};
  rule.services = {service};
  return {"e", 1, std::make_shared<Rule>(rule), order, true, true};
}

FlowHeaders flow_from(uint16_t source_port) {
  FlowHeaders f;
  f.source = address_of("10.9.0.1"), f.destination = address_of("10.9.0.2");
  f.protocol = kTcp, f.source_port = source_port, f.destination_port = 443;
  return f;
}

}  // namespace

TEST_CASE("the memo tells lookups, workloads and directions apart") {
  Classifier classifier;
  LookupMemo memo;
  IndexEntry first = entry_for(0, 200), better = entry_for(0, 100);
  better.out = false;
  classifier.add(&first, {{1}});
  auto lookup = classifier.commit();
  classifier.settled();
  for (int again = 0; again < 2; ++again) {
    CHECK(memo.first_match(*lookup, 1, Direction::kIn, flow_from(1), 0) == &first);
    CHECK_FALSE(memo.first_match(*lookup, 2, Direction::kIn, flow_from(1), 0));
    CHECK_FALSE(memo.first_match(*lookup, 1, Direction::kIn, flow_from(1), 201));
  }
  classifier.add(&better, {{1}});
  lookup = classifier.commit();
  classifier.settled();
  CHECK(memo.first_match(*lookup, 1, Direction::kIn, flow_from(1), 0) == &better);
  CHECK(memo.first_match(*lookup, 1, Direction::kOut, flow_from(1), 0) == &first);
}

TEST_CASE("the memo tells source ports apart once a rule names one") {
  Classifier classifier;
  LookupMemo memo;
  IndexEntry named = entry_for(7, 100);
  classifier.add(&named, {{1}});
  auto lookup = classifier.commit();
  CHECK(memo.first_match(*lookup, 1, Direction::kIn, flow_from(7), 0) == &named);
  CHECK_FALSE(memo.first_match(*lookup, 1, Direction::kIn, flow_from(8), 0));
}

TEST_CASE("of anticipated questions that share a place in the memo, each gets its own answer") {
  Classifier classifier;
  LookupMemo memo;
  IndexEntry named = entry_for(7, 100);
  classifier.add(&named, {{1}});
  auto lookup = classifier.commit();
  // More than there are places.
  constexpr uint32_t kFlows = 3 * LookupMemo::kEntries;
  for (uint32_t begin = 0; begin < kFlows; begin += Lookup::kBatch) {
    FlowHeaders flows[Lookup::kBatch];
    Lookup::Question questions[Lookup::kBatch];
    for (uint32_t i = 0; i < Lookup::kBatch; ++i) {
      flows[i] = flow_from(i % 2 ? 7 : 8);
      flows[i].destination_port = static_cast<uint16_t>(begin + i);
      questions[i] = {1, Direction::kIn, &flows[i]};
    }
    memo.anticipate(*lookup, questions);
    for (const auto& q : questions)
      CHECK(memo.first_match(*lookup, 1, Direction::kIn, *q.flow, 0) == (q.flow->source_port == 7 ? &named : nullptr));
  }
}

}  // namespace headgate::test
