// What a rule matches, field by field.
#include "tables/rule.h"

#include <doctest/doctest.h>

#include "tables/index_table.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

AddressSets sets(const std::vector<std::string>& texts) {
  AddressSets all;
  for (const std::string& text : texts)
    all.push_back(std::make_shared<AddressSet>(std::vector<AddressRange>{*parse_address_range(text)}));
  return all;
}

FlowHeaders flow(uint8_t protocol = kTcp) {
  FlowHeaders f;
  f.source = address_of("10.9.0.1"), f.destination = address_of("10.9.0.2");
  f.protocol = protocol;
  f.source_port = 1000, f.destination_port = 443;
  f.icmp_type = 8, f.icmp_code = 0;
  return f;
}

Rule with(const ServiceMatch& service) {
  Rule rule;
  rule.any_service = false;
  rule.services = {service};
  return rule;
}

TEST_CASE("a rule without conditions matches everything") {
  CHECK(matches(Rule{}, flow()));
}

TEST_CASE("sources and destinations are those of one of the sets") {
  Rule rule;
  rule.any_source = false;
  rule.sources = sets({"192.0.2.0/24", "10.9.0.1"});
  CHECK(matches(rule, flow()));
  rule.any_destination = false;
  CHECK_FALSE(matches(rule, flow()));  // no set: no address
  rule.destinations = sets({"10.9.0.3-10.9.0.9"});
  CHECK_FALSE(matches(rule, flow()));
  rule.destinations = sets({"10.9.0.2-10.9.0.9"});
  CHECK(matches(rule, flow()));
  rule.sources = sets({"10.9.0.2"});
  CHECK_FALSE(matches(rule, flow()));
}

TEST_CASE("services: the protocol") {
  ServiceMatch tcp;
  tcp.protocol = kTcp;
  CHECK(matches(with(tcp), flow()));
  CHECK_FALSE(matches(with(tcp), flow(kUdp)));
  Rule none = with(tcp);
  none.services.clear();
  CHECK_FALSE(matches(none, flow()));
  Rule either = with(tcp);
  either.services.push_back({kUdp, -1, -1, {}, {}});
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
  rule.services.push_back({kUdp, -1, -1, {{443, 443}}, {}});
  CHECK_FALSE(matches(rule, flow()));
}

TEST_CASE("pass goes on behind its category, over empty ones") {
  IndexTable index;
  index.rules.resize(5);
  index.category_end = {0, 2, 2, 5};
  CHECK(index.next_category(0) == 2);
  CHECK(index.next_category(1) == 2);
  CHECK(index.next_category(2) == 5);
  CHECK(index.next_category(4) == 5);
}

}  // namespace
}  // namespace headgate::test
