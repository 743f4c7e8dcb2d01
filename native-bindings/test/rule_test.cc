// What a rule matches, field by field: asked of the lookup, with the rule as the only one of a workload's table.
#include "tables/rule.h"

#include <doctest/doctest.h>

#include "tables/classifier.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr uint32_t kWorkload = 3;

// Rules name these sets by their places.
const std::vector<std::string> kSets = {"192.0.2.0/24", "10.9.0.1", "10.9.0.3-10.9.0.9", "10.9.0.2-10.9.0.9",
                                        "10.9.0.2"};

bool matches(const Rule& rule, const FlowHeaders& flow) {
  Classifier classifier;
  for (uint32_t i = 0; i < kSets.size(); ++i) classifier.set_addresses(i, parse_address_set({kSets[i]}));
  const IndexEntry entry{"e", 1, std::make_shared<Rule>(rule), 100, true, false};
  classifier.add(&entry, {{kWorkload}});
  const auto lookup = classifier.commit();
  CHECK_FALSE(lookup->first_match(kWorkload, Direction::kOut, flow, 0));
  CHECK_FALSE(lookup->first_match(kWorkload, Direction::kIn, flow, 101));
  CHECK_FALSE(lookup->first_match(kWorkload - 1, Direction::kIn, flow, 0));
  const IndexEntry* found = lookup->first_match(kWorkload, Direction::kIn, flow, 0);
  CHECK((!found || found == &entry));
  return found;
}

FlowHeaders flow(uint8_t protocol = kTcp) {
  FlowHeaders f;
  f.source = address_of("10.9.0.1"), f.destination = address_of("10.9.0.2");
  f.protocol = protocol;
  if (protocol == kTcp || protocol == kUdp || protocol == kSctp) f.source_port = 1000, f.destination_port = 443;
  if (protocol == kIcmp || protocol == kIcmp6) f.icmp_type = 8, f.icmp_code = 0;
  return f;
}

Rule with(const ServiceMatch& service) {
  Rule rule;
  rule.services = {service};
  return rule;
}

TEST_CASE("a rule without conditions matches everything") {
  for (int protocol : {kTcp + 0, kUdp + 0, kIcmp + 0, kIcmp6 + 0, kSctp + 0, 47, 0})
    CHECK(matches(Rule{}, flow(static_cast<uint8_t>(protocol))));
}

TEST_CASE("sources and destinations are those of one of the sets") {
  using Sets = std::vector<uint32_t>;
  Rule rule;
  rule.sources = Sets{0, 1};
  CHECK(matches(rule, flow()));
  rule.destinations = Sets{};
  CHECK_FALSE(matches(rule, flow()));  // no set: no address
  rule.destinations = Sets{2};
  CHECK_FALSE(matches(rule, flow()));
  rule.destinations = Sets{3};
  CHECK(matches(rule, flow()));
  rule.sources = Sets{4};
  CHECK_FALSE(matches(rule, flow()));
}

TEST_CASE("services: the protocol") {
  ServiceMatch tcp;
  tcp.protocol = kTcp;
  CHECK(matches(with(tcp), flow()));
  CHECK_FALSE(matches(with(tcp), flow(kUdp)));
  Rule none = with(tcp);
  none.services->clear();
  CHECK_FALSE(matches(none, flow()));
  Rule either = with(tcp);
  either.services->push_back({kUdp, -1, -1, {}, {}});
  CHECK(matches(either, flow(kUdp)));
  CHECK_FALSE(matches(either, flow(kSctp)));
}

TEST_CASE("services: ports, ends included") {
  ServiceMatch ports;
  ports.ports = {{80, 80}, {400, 443}};
  CHECK(matches(with(ports), flow()));
  FlowHeaders f = flow();
  for (auto [port, wanted] : {std::pair{80, true}, {81, false}, {399, false}, {400, true}, {444, false}}) {
    f.destination_port = static_cast<uint16_t>(port);
    CHECK(matches(with(ports), f) == wanted);
  }
  CHECK(matches(with(ports), flow(kSctp)));
  CHECK_FALSE(matches(with(ports), flow(kIcmp)));
  CHECK_FALSE(matches(with(ports), flow(47)));
  ServiceMatch from;
  from.source_ports = {{1000, 1001}};
  CHECK(matches(with(from), flow()));
  from.source_ports = {{443, 443}};
  CHECK_FALSE(matches(with(from), flow()));
}

TEST_CASE("services: type and code of ICMP") {
  ServiceMatch echo;
  echo.icmp_type = 8;
  CHECK(matches(with(echo), flow(kIcmp)));
  CHECK(matches(with(echo), flow(kIcmp6)));
  CHECK_FALSE(matches(with(echo), flow(kTcp)));
  echo.icmp_type = 0;
  CHECK_FALSE(matches(with(echo), flow(kIcmp)));
  ServiceMatch code;
  code.icmp_code = 0;
  CHECK(matches(with(code), flow(kIcmp)));
  code.icmp_code = 1;
  CHECK_FALSE(matches(with(code), flow(kIcmp)));
}

TEST_CASE("all conditions of one service hold together, not across services") {
  Rule rule = with({kTcp, -1, -1, {{80, 80}}, {}});
  rule.services->push_back({kUdp, -1, -1, {{443, 443}}, {}});
  CHECK_FALSE(matches(rule, flow()));
}

TEST_CASE("pass goes on with the first order of the next category") {
  IndexEntry entry;
  for (uint64_t category = 0; category < kCategories; ++category)
    for (uint64_t order : {uint64_t{0}, uint64_t{77}, (uint64_t{1} << kCategoryShift) - 1}) {
      entry.order = category << kCategoryShift | order;
      CHECK(entry.next_category() == (category + 1) << kCategoryShift);
    }
}

TEST_CASE("a rule takes a slot, or one for each different list of source ports") {
  CHECK(Classifier::slots_of(Rule{}) == 1);
  Rule rule = with({kTcp, -1, -1, {{1, 1}}, {}});
  rule.services->push_back({kUdp, -1, -1, {{2, 2}}, {}});
  CHECK(Classifier::slots_of(rule) == 1);
  rule.services->push_back({kUdp, -1, -1, {}, {{5, 6}}});
  rule.services->push_back({kTcp, -1, -1, {}, {{5, 6}}});
  CHECK(Classifier::slots_of(rule) == 2);
  rule.services->push_back({kTcp, -1, -1, {}, {{5, 6}, {8, 8}}});
  CHECK(Classifier::slots_of(rule) == 3);
}

}  // namespace
}  // namespace headgate::test
